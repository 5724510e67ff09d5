%% The BEAM reference of fan-out: starts the guild and its relay, and accepts connections.
%%
%%   POST -> connection -> guild -> relay -> N sessions -> N connections -> sockets
%%
%% It speaks as much HTTP, WebSocket and gateway as `guildhall bench fanout` needs and takes the
%% arguments `--demo-users N --data DIRECTORY`; the template of a message is in $FANOUT_MESSAGE.
-module(fanout).
-export([main/0]).

main() ->
    ["--demo-users", Users, "--data", Directory] = init:get_plain_arguments(),
    Tokens = lists:duplicate(list_to_integer(Users), "token\n"),
    ok = file:write_file(filename:join(Directory, "demo-tokens.txt"), Tokens),
    {ok, Message} = file:read_file(os:getenv("FANOUT_MESSAGE")),
    {ok, Relay} = gen_server:start(fanout_relay, [], []),
    {ok, Guild} = gen_server:start(fanout_guild, {Relay, string:trim(Message)}, []),
    Options = [binary, {active, false}, {nodelay, true}, {backlog, 4096}, {ip, {127, 0, 0, 1}}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    {ok, Port} = inet:port(Listener),
    io:format("GATEWAY_URL=ws://127.0.0.1:~b~nTOKEN_A=token~nCHANNEL_ID=1~n", [Port]),
    accept(Listener, Guild).

accept(Listener, Guild) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Connection = fanout_connection:start(Socket, Guild),
    ok = gen_tcp:controlling_process(Socket, Connection),
    Connection ! go,
    accept(Listener, Guild).
