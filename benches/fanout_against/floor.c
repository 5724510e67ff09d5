// The floor of fan-out: what is left of a chat server when only the kernel's work remains.
//
//     floor --demo-users N --data DIRECTORY        (message template: $FANOUT_MESSAGE)
//
// One thread, one epoll. It speaks as much HTTP, WebSocket and gateway as `guildhall bench fanout`
// needs: upgrade, IDENTIFY -> READY, POST -> MESSAGE_CREATE to every session. There are no actors,
// no permissions, no replay and no storage. What is posted in one turn of the loop is framed once,
// and each session gets all of it in one send(2).
//
// The generator writes each of its short requests at once, so a read is a whole request. A window's
// worth of frames fits the buffer of a socket. Where either is not so the program says it and ends.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SESSIONS_MAX = 100000, EVENTS_MAX = 512, REQUEST_MAX = 16384, BATCH_MAX = 1 << 20 };
enum state { CLOSED = 0, HTTP, UPGRADED, SESSION };

static const char UPGRADE[] =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    // Of the one key the generator sends.
    "Sec-WebSocket-Accept: 9q9kyxFQIJgNSkS+x20kFj5saT8=\r\n\r\n";
static const char CREATED[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
static const char READY[] = "{\"t\":\"READY\",\"s\":1,\"op\":0,\"d\":{}}";
static const char HEARTBEAT_ACK[] = "{\"t\":null,\"s\":null,\"op\":11,\"d\":null}";

static enum state states[SESSIONS_MAX]; // by descriptor
static int sessions[SESSIONS_MAX], session_count;
static char batch[BATCH_MAX]; // frames of this turn
static size_t batch_length;
static char template[REQUEST_MAX];
static const char *before_id, *before_content, *after_content; // parts of the template
// All sessions sign in before the first message, so they share their sequence numbers.
static unsigned long sequence = 1;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *bytes, size_t length) {
    if (send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length)
        die("a socket did not take all of a write");
}

// Writes a frame with this payload; returns its length.
static size_t frame(char *to, const char *payload, size_t length) {
    size_t head = 2;
    to[0] = (char)0x81;
    if (length < 126) {
        to[1] = (char)length;
    } else {
        to[1] = 126, to[2] = (char)(length >> 8), to[3] = (char)length;
        head = 4;
    }
    memcpy(to + head, payload, length);
    return head + length;
}

static void reply(int fd, const char *text) {
    char framed[256];
    send_all(fd, framed, frame(framed, text, strlen(text)));
}

static void publish(int fd, char *request) {
    static const char key[] = "\"content\":\"";
    char *content = strstr(request, key), *end = content ? strrchr(content, '"') : NULL;
    if (!end)
        die("a post without content");
    content += sizeof key - 1;
    char payload[2 * REQUEST_MAX];
    int length = snprintf(payload, sizeof payload,
                          "{\"t\":\"MESSAGE_CREATE\",\"s\":%lu,\"op\":0,\"d\":%s%lu%s%.*s%s}", sequence + 1,
                          before_id, 1575295534367768576ul + sequence, before_content,
                          (int)(end - content), content, after_content);
    if (length > 0xffff || batch_length + (size_t)length + 4 > sizeof batch)
        die("no room for a message");
    sequence += 1;
    batch_length += frame(batch + batch_length, payload, (size_t)length);
    send_all(fd, CREATED, sizeof CREATED - 1);
}

static void on_readable(int fd) {
    char request[REQUEST_MAX];
    ssize_t length = read(fd, request, sizeof request - 1);
    if (length <= 0) {
        if (states[fd] == SESSION)
            die("a session ended");
        states[fd] = CLOSED;
        close(fd);
        return;
    }
    request[length] = 0;
    switch (states[fd]) {
    case HTTP:
        if (!strncmp(request, "POST", 4)) {
            publish(fd, request);
        } else {
            states[fd] = UPGRADED;
            send_all(fd, UPGRADE, sizeof UPGRADE - 1);
        }
        break;
    case UPGRADED: // IDENTIFY
        states[fd] = SESSION;
        sessions[session_count++] = fd;
        reply(fd, READY);
        break;
    default:
        reply(fd, HEARTBEAT_ACK);
    }
}

static void on_connection(int listener, int epoll) {
    int fd = accept(listener, NULL, NULL), on = 1;
    if (fd < 0 || fd >= SESSIONS_MAX)
        die("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    states[fd] = HTTP;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
}

static void read_template(void) {
    const char *path = getenv("FANOUT_MESSAGE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file || !fgets(template, sizeof template, file))
        die("FANOUT_MESSAGE");
    fclose(file);
    template[strcspn(template, "\n")] = 0;
    char *id = strstr(template, "@ID@"), *content = strstr(template, "@CONTENT@");
    if (!id || !content)
        die("a template without @ID@ or @CONTENT@");
    *id = *content = 0;
    before_id = template, before_content = id + strlen("@ID@");
    after_content = content + strlen("@CONTENT@");
}

static void write_tokens(const char *count, const char *directory) {
    char path[4096];
    snprintf(path, sizeof path, "%s/demo-tokens.txt", directory);
    FILE *file = fopen(path, "w");
    for (int left = file ? atoi(count) : 0; left > 0; left--)
        fputs("token\n", file);
    if (!file || fclose(file))
        die(path);
}

int main(int count, char **arguments) {
    if (count != 5)
        return fputs("floor --demo-users N --data DIRECTORY\n", stderr), 2;
    read_template();
    write_tokens(arguments[2], arguments[4]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        die("listen");
    printf("GATEWAY_URL=ws://127.0.0.1:%d\nTOKEN_A=token\nCHANNEL_ID=1\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(epoll, events, EVENTS_MAX, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                on_connection(listener, epoll);
            else
                on_readable(events[i].data.fd);
        }
        for (int i = 0; batch_length && i < session_count; i++)
            send_all(sessions[i], batch, batch_length);
        batch_length = 0;
    }
}
