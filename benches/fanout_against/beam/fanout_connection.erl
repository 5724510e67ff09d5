%% A connection owns a socket: HTTP until the upgrade, then WebSocket. Frames what its session sends
%% and writes it; a plain process, as in Cowboy.
-module(fanout_connection).
-export([start/2]).

start(Socket, Guild) ->
    spawn(fun() -> receive go -> http(Socket, Guild, <<>>) end end).

http(Socket, Guild, Read) ->
    case binary:split(Read, <<"\r\n\r\n">>) of
        [<<"GET ", _/binary>> = Head, Rest] ->
            ok = gen_tcp:send(Socket, upgrade(Head)),
            websocket(Socket, Guild, none, Rest);
        [<<"POST ", _/binary>> = Head, Rest] ->
            Length = binary_to_integer(header(Head, "Content-Length")),
            {Body, Next} = read_body(Socket, Length, Rest),
            [_, Content] = binary:split(Body, <<"\"content\":\"">>),
            ok = fanout_guild:publish(Guild, binary:part(Content, 0, byte_size(Content) - 2)),
            ok = gen_tcp:send(Socket, <<"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}">>),
            http(Socket, Guild, Next);
        _ ->
            case gen_tcp:recv(Socket, 0) of
                {ok, More} -> http(Socket, Guild, <<Read/binary, More/binary>>);
                {error, closed} -> ok
            end
    end.

header(Head, Name) ->
    {match, [Value]} = re:run(Head, Name ++ ": *([^\r]*)", [caseless, {capture, [1], binary}]),
    Value.

read_body(Socket, Length, Read) ->
    case Read of
        <<Body:Length/binary, Next/binary>> ->
            {Body, Next};
        _ ->
            {ok, More} = gen_tcp:recv(Socket, 0),
            read_body(Socket, Length, <<Read/binary, More/binary>>)
    end.

upgrade(Head) ->
    Key = [header(Head, "Sec-WebSocket-Key"), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"],
    ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
     "Sec-WebSocket-Accept: ", base64:encode(crypto:hash(sha, Key)), "\r\n\r\n"].

websocket(Socket, Guild, Session, Read) ->
    case client_frame(Read) of
        {Text, Rest} ->
            websocket(Socket, Guild, on_text(Text, Socket, Guild, Session), Rest);
        more ->
            ok = inet:setopts(Socket, [{active, once}]),
            wait(Socket, Guild, Session, Read)
    end.

wait(Socket, Guild, Session, Read) ->
    receive
        {text, Text} ->
            ok = gen_tcp:send(Socket, server_frame(Text)),
            wait(Socket, Guild, Session, Read);
        {tcp, Socket, More} ->
            websocket(Socket, Guild, Session, <<Read/binary, More/binary>>);
        {tcp_closed, Socket} ->
            exit(closed)
    end.

on_text(_Identify, _Socket, Guild, none) ->
    {ok, Session} = fanout_session:start_link(self()),
    ok = fanout_guild:join(Guild, Session),
    Session;
on_text(_Heartbeat, Socket, _Guild, Session) ->
    ok = gen_tcp:send(Socket, server_frame(<<"{\"t\":null,\"s\":null,\"op\":11,\"d\":null}">>)),
    Session.

%% The generator's mask is all zeros.
client_frame(<<1:1, 0:3, 1:4, 1:1, 126:7, Length:16, 0:32, Text:Length/binary, Rest/binary>>) ->
    {Text, Rest};
client_frame(<<1:1, 0:3, 1:4, 1:1, Length:7, 0:32, Text:Length/binary, Rest/binary>>)
  when Length < 126 ->
    {Text, Rest};
client_frame(_) ->
    more.

server_frame(Text) ->
    case iolist_size(Text) of
        Length when Length < 126 -> [<<16#81, Length>> | Text];
        Length when Length < 65536 -> [<<16#81, 126, Length:16>> | Text]
    end.
