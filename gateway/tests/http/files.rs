//! Attachments: uploaded, kept, served, refused.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{Client, Reply, Server};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x10\0\0\0\x20\x08\x06\0\0\0";

fn file(name: &str, bytes: &[u8]) -> Part {
    Part::bytes(bytes.to_vec()).file_name(name.to_owned())
}

fn payload(json: &Value) -> Part {
    Part::text(json.to_string())
        .mime_str("application/json")
        .unwrap()
}

async fn upload(server: &Server, form: Form) -> Reply {
    Reply::of(
        server
            .ann
            .request(Method::POST, &server.at("/messages"))
            .multipart(form),
    )
    .await
}

fn path_of<'a>(server: &Server, url: &'a str) -> &'a str {
    url.strip_prefix(&format!("http://{}", server.address))
        .unwrap()
}

/// Whether a file of a message is served.
async fn served(server: &Server, file: &Value) -> bool {
    let url = file["url"].as_str().unwrap();
    let get = server.bob.anonymous(Method::GET, path_of(server, url));
    match Reply::of(get).await.status {
        200 => true,
        404 => false,
        other => panic!("{other}"),
    }
}

/// Waits until a file of a message is not served any more.
async fn gone(server: &Server, file: &Value) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while served(server, file).await {
        assert!(std::time::Instant::now() < deadline, "never gone: {file}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_go_with_their_message() {
    let server = Server::start().await;
    let mut posted = Vec::new();
    for number in 0..3 {
        let form = Form::new().part("files[0]", file(&format!("{number}.png"), PNG));
        posted.push(upload(&server, form).await.expect(200));
    }
    let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
    assert!(served(&server, &posted[0]["attachments"][0]).await);

    let one = server.at(&format!("/messages/{}", id(&posted[0])));
    server.ann.delete(&one).await.expect(204);
    let two = json!({"messages": [id(&posted[1]), id(&posted[2])]});
    server
        .ann
        .post(&server.at("/messages/bulk-delete"), two)
        .await
        .expect(204);
    for message in &posted {
        gone(&server, &message["attachments"][0]).await;
    }
}

#[tokio::test]
async fn files_go_when_an_edit_drops_them() {
    let server = Server::start().await;
    let form = Form::new()
        .text("content", "two")
        .part("files[0]", file("a.png", PNG))
        .part("files[1]", file("b.png", PNG));
    let posted = upload(&server, form).await.expect(200);
    let files = posted["attachments"].as_array().unwrap();
    let path = server.at(&format!("/messages/{}", posted["id"].as_str().unwrap()));
    let edit = json!({"attachments": [{"id": files[1]["id"]}]});
    server.ann.patch(&path, edit).await.expect(200);
    gone(&server, &files[0]).await;
    let text = json!({"content": "edited"});
    server.ann.patch(&path, text).await.expect(200);
    assert!(served(&server, &files[1]).await, "it was kept");
    let none = json!({"attachments": []});
    server.ann.patch(&path, none).await.expect(200);
    gone(&server, &files[1]).await;
}

#[tokio::test]
async fn a_file_that_an_embed_shows_stays_and_goes_with_it() {
    let server = Server::start().await;
    let embed = json!({"title": "t", "image": {"url": "attachment://a_file.png"}});
    let form = |embed: &Value| {
        Form::new()
            .part("payload_json", payload(&json!({"embeds": [embed]})))
            .part("files[0]", file("a file.png", PNG))
            .part("files[1]", file("b.png", PNG))
    };
    let unknown = json!({"image": {"url": "attachment://c.png"}});
    upload(&server, form(&unknown))
        .await
        .refused_at("embeds.0.image.url");

    let posted = upload(&server, form(&embed)).await.expect(200);
    let names = |message: &Value| -> Vec<String> {
        let files = message["attachments"].as_array().unwrap();
        let name = |file: &Value| file["filename"].as_str().unwrap().to_owned();
        files.iter().map(name).collect()
    };
    assert_eq!(names(&posted), ["b.png"]);
    let shown = posted["embeds"][0]["image"].clone();
    assert!(served(&server, &shown).await, "{shown}");

    let path = server.at(&format!("/messages/{}", posted["id"].as_str().unwrap()));
    let read = server.bob.get(&path).await.expect(200);
    assert_eq!(
        (&read["embeds"], names(&read)),
        (&posted["embeds"], names(&posted))
    );
    let edit = json!({"content": "x", "attachments": [], "embeds": read["embeds"]});
    let edited = server.ann.patch(&path, edit).await.expect(200);
    assert_eq!(
        (&edited["embeds"], names(&edited)),
        (&posted["embeds"], vec![])
    );
    gone(&server, &posted["attachments"][0]).await;
    assert!(served(&server, &shown).await, "its embed is there");

    let none = json!({"embeds": []});
    let edited = server.ann.patch(&path, none).await.expect(200);
    assert_eq!(names(&edited), ["a_file.png"], "nothing else shows it");
    server.ann.delete(&path).await.expect(204);
    gone(&server, &shown).await;
}

#[tokio::test]
async fn files_go_with_a_banned_author_a_channel_and_a_guild() {
    let server = Server::start().await;
    let upload_as = async |client: &Client, channel: &str| {
        let form = Form::new().part("files[0]", file("a.png", PNG));
        let path = format!("/channels/{channel}/messages");
        let request = client.request(Method::POST, &path).multipart(form);
        let posted = Reply::of(request).await.expect(200);
        posted["attachments"][0].clone()
    };
    let made = json!({"name": "other"});
    let other = server
        .ann
        .post(&server.in_guild("/channels"), made)
        .await
        .expect(201);
    let other = other["id"].as_str().unwrap().to_owned();
    let general = server.channel.to_string();
    let in_other = upload_as(&server.ann, &other).await;
    let of_bob = upload_as(&server.bob, &general).await;
    let of_ann = upload_as(&server.ann, &general).await;
    let ban = json!({"delete_message_seconds": 3_600});
    let path = format!(
        "/guilds/{}/bans/{}",
        server.guild, server.bob.account.user.id
    );
    server.ann.put(&path, ban).await.expect(204);
    gone(&server, &of_bob).await;
    let path = format!("/channels/{other}");
    server.ann.delete(&path).await.expect(200);
    gone(&server, &in_other).await;
    assert!(served(&server, &of_ann).await);
    let path = server.in_guild("");
    server.ann.delete(&path).await.expect(204);
    gone(&server, &of_ann).await;
}

#[tokio::test]
async fn files_come_back_as_they_were_sent() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let form = Form::new()
        .part(
            "payload_json",
            payload(&json!({"content": "see", "attachments": [{"id": 1, "description": "alt"}]})),
        )
        .part("files[0]", file("data.bin", &bytes))
        .part("files[1]", file("picture.png", PNG));
    let posted = upload(&server, form).await.expect(200);
    let files = posted["attachments"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    let find = |name: &str| files.iter().find(|file| file["filename"] == name).unwrap();
    let (data, picture) = (find("data.bin"), find("picture.png"));
    assert_eq!(data["size"], 3_000_000);
    assert_eq!(
        (&picture["width"], &picture["height"]),
        (&json!(16), &json!(32))
    );
    assert_eq!(
        (&picture["description"], &picture["content_type"]),
        (&json!("alt"), &json!("image/png"))
    );

    let fetched = Reply::of(
        server
            .bob
            .anonymous(Method::GET, path_of(&server, data["url"].as_str().unwrap())),
    )
    .await;
    assert_eq!(fetched.bytes, bytes);
    assert_eq!(fetched.header("content-type"), "application/octet-stream");
    assert_eq!(
        fetched.header("content-disposition"),
        "attachment; filename=\"data.bin\""
    );
    assert_eq!(
        fetched.header("content-security-policy"),
        "default-src 'none'; sandbox"
    );
    assert_eq!(fetched.header("x-content-type-options"), "nosniff");
    let picture = Reply::of(server.bob.anonymous(
        Method::GET,
        path_of(&server, picture["url"].as_str().unwrap()),
    ))
    .await;
    assert_eq!(
        (picture.bytes.as_slice(), picture.header("content-type")),
        (PNG, "image/png")
    );
    assert!(picture.header("content-disposition").starts_with("inline"));
}

#[tokio::test]
async fn bare_fields_and_odd_part_names_are_taken() {
    let server = Server::start().await;
    let form = Form::new()
        .text("content", "bare")
        .text("tts", "true")
        .part("file", file("a.txt", b"hi"));
    let posted = upload(&server, form).await.expect(200);
    assert_eq!(
        (&posted["content"], &posted["tts"]),
        (&json!("bare"), &json!(true))
    );
    assert_eq!(posted["attachments"][0]["filename"], "a.txt");
    let only_file = upload(&server, Form::new().part("files[0]", file("b.txt", b"")))
        .await
        .expect(200);
    assert_eq!(only_file["attachments"][0]["size"], 0);
}

#[tokio::test]
async fn hostile_files_cannot_run_or_leave() {
    let server = Server::start().await;
    for (name, bytes) in [
        ("../../../etc/passwd", &b"x"[..]),
        ("page.html", b"<script>alert(1)</script>"),
        ("image.svg", b"<svg onload=alert(1)>"),
        (".hidden", b"x"),
        ("a\"b;c.txt", b"x"),
        ("\u{202e}gnp.exe", b"x"),
    ] {
        let posted = upload(&server, Form::new().part("files[0]", file(name, bytes)))
            .await
            .expect(200);
        let url = posted["attachments"][0]["url"].as_str().unwrap().to_owned();
        let path = path_of(&server, &url);
        assert!(
            path.starts_with("/attachments/") && path.matches('/').count() == 4,
            "{path}"
        );
        let fetched = Reply::of(server.bob.anonymous(Method::GET, path)).await;
        assert_eq!(fetched.bytes, bytes, "{name}");
        let content_type = fetched.header("content-type");
        assert!(
            content_type == "application/octet-stream" || content_type.starts_with("text/plain"),
            "{name}"
        );
        assert_eq!(
            fetched.header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
    }
    for path in [
        "/attachments/1/2/x.txt",
        "/attachments/1/2/..%2f..%2fx",
        "/attachments/x/2/a",
        "/attachments/1/2/.incoming",
    ] {
        assert_eq!(
            Reply::of(server.bob.anonymous(Method::GET, path))
                .await
                .status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn broken_uploads_post_nothing() {
    let server = Server::start().await;
    let raw = |body: String, boundary: &str| {
        let request = server.ann.request(Method::POST, &server.at("/messages"));
        request
            .header(
                "content-type",
                format!("multipart/form-data; boundary={boundary}"),
            )
            .body(body)
    };
    let head =
        "--X\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\n";
    for body in [
        format!("{head}half of it"),
        head.to_owned(),
        "--X\r\nContent-Dispo".to_owned(),
        "nothing".to_owned(),
        String::new(),
    ] {
        let reply = Reply::of(raw(body.clone(), "X")).await;
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.body);
    }
    Reply::of(raw(format!("{head}whole\r\n--X--\r\n"), "Y"))
        .await
        .refused(400, 50_035);
    let no_boundary = server.ann.request(Method::POST, &server.at("/messages"));
    Reply::of(
        no_boundary
            .header("content-type", "multipart/form-data")
            .body("x"),
    )
    .await
    .refused(400, 50_035);
    for broken in [
        "{",
        "",
        "{\"content\":\"x\"",
        "{} x",
        "content=x",
        "{'content':'x'}",
    ] {
        let broken = Form::new()
            .part("payload_json", Part::text(broken))
            .part("files[0]", file("a.txt", b"x"));
        upload(&server, broken).await.refused(400, 50_109);
    }
    let no_object = Form::new().part("payload_json", Part::text("[]"));
    upload(&server, no_object).await.refused(400, 50_035);
    let long = "x".repeat(2_001);
    let refused = Form::new()
        .part("payload_json", payload(&json!({"content": long})))
        .part("files[0]", file("a.txt", b"x"));
    upload(&server, refused).await.refused_at("content");
    assert_eq!(
        server.ann.get(&server.at("/messages")).await.expect(200),
        json!([])
    );
    Reply::of(raw(format!("{head}whole\r\n--X--\r\n"), "X"))
        .await
        .expect(200);
}

#[tokio::test]
async fn parts_of_files_are_served() {
    let server = Server::start().await;
    let form = Form::new().part("files[0]", file("a.txt", b"0123456789"));
    let posted = upload(&server, form).await.expect(200);
    let url = posted["attachments"][0]["url"].as_str().unwrap();
    let get = async |range: &str| {
        let request = server.bob.anonymous(Method::GET, path_of(&server, url));
        Reply::of(request.header("range", range)).await
    };
    let part = get("bytes=2-4").await;
    assert_eq!(
        (part.status, part.bytes.as_slice()),
        (206, b"234".as_slice())
    );
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(
        (part.header("content-length"), part.header("accept-ranges")),
        ("3", "bytes")
    );
    let end = get("bytes=-1").await;
    assert_eq!((end.status, end.bytes.as_slice()), (206, b"9".as_slice()));
    let outside = get("bytes=10-").await;
    assert_eq!(
        (outside.status, outside.header("content-range")),
        (416, "bytes */10")
    );
    let whole = get("lines=1").await;
    assert_eq!((whole.status, whole.bytes.len()), (200, 10));
}

#[tokio::test]
async fn limits_of_uploads() {
    let server = Server::start().await;
    let max = 10 * 1_024 * 1_024;
    let exact = vec![7; max];
    upload(
        &server,
        Form::new().part("files[0]", file("exact.bin", &exact)),
    )
    .await
    .expect(200);
    let over = vec![7; max + 1];
    upload(
        &server,
        Form::new().part("files[0]", file("over.bin", &over)),
    )
    .await
    .refused(413, 40_005);
    let mut many = Form::new();
    for number in 0..11 {
        many = many.part(format!("files[{number}]"), file("a.txt", b"x"));
    }
    upload(&server, many).await.refused_at("files");
    let payload = Part::text(format!("{{\"content\":\"{}\"}}", "x".repeat(300_000)));
    upload(&server, Form::new().part("payload_json", payload))
        .await
        .refused(413, 40_005);
}

#[tokio::test]
async fn files_need_the_permission_and_edits_keep_what_they_name() {
    let server = Server::start().await;
    let form = || Form::new().part("files[0]", file("a.txt", b"first"));
    let posted = upload(&server, form()).await.expect(200);
    let path = server.at(&format!("/messages/{}", posted["id"].as_str().unwrap()));
    let added = Reply::of(server.ann.request(Method::PATCH, &path).multipart(form()))
        .await
        .expect(200);
    assert_eq!(
        added["attachments"].as_array().unwrap().len(),
        2,
        "without a list files are added"
    );
    let keep = json!({"attachments": [{"id": posted["attachments"][0]["id"]}]});
    let kept = server.ann.patch(&path, keep).await.expect(200);
    assert_eq!(kept["attachments"].as_array().unwrap().len(), 1);
    assert_eq!(
        kept["attachments"][0]["url"],
        posted["attachments"][0]["url"]
    );
    let none = server
        .ann
        .patch(&path, json!({"attachments": [], "content": "text"}))
        .await
        .expect(200);
    assert_eq!(none["attachments"], json!([]));
    server
        .ann
        .patch(&path, json!({"attachments": [{"id": "77"}]}))
        .await
        .refused_at("attachments.0.id");

    server.deny_everyone(1 << 15).await;
    let refused = server
        .bob
        .request(Method::POST, &server.at("/messages"))
        .multipart(form());
    Reply::of(refused).await.refused(403, 50_013);
}
