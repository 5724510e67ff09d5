%% One operation of Erlang/OTP, measured; the counterpart of examples/against_otp.rs.
%%
%% erl -noshell -pa DIR -s bench main call 200000
%%
%% prints one line of JSON: processor time of all threads in nanoseconds per operation, or bytes.
%% Each operation does what the function of the same name does over there.
-module(bench).
-behaviour(gen_server).

-export([main/1, start_link/0]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(WINDOW, 1000).
-define(CALLERS, 100).
-define(PAYLOAD, 1024).
-define(RESTARTS, 100).
-define(NAMES, 10000).

main([Operation, Count]) ->
    %% Reports of the deaths we cause would be built and printed; over there nobody listens either.
    logger:set_primary_config(level, none),
    Figures = run(Operation, list_to_integer(atom_to_list(Count))),
    Fields = [io_lib:format(",\"~s\":~.1f", [Name, Value * 1.0]) || {Name, Value} <- Figures],
    io:format("{\"operation\":\"~s\",\"count\":~s~s}~n", [Operation, Count, Fields]),
    halt(0).

%% The server of all operations.

start_link() -> gen_server:start_link(?MODULE, none, []).

init(none) -> {ok, 0};
init({tell, Driver}) ->
    Driver ! {started, self()},
    {ok, 0};
init({supervisor, Flags, Children}) -> {ok, {Flags, Children}}.

handle_call(get, _From, Sum) -> {reply, Sum, Sum}.

handle_cast({add, Number}, Sum) -> {noreply, Sum + Number};
handle_cast({event, Payload, Left, Driver}, Sum) ->
    case atomics:sub_get(Left, 1, 1) of
        0 -> Driver ! done;
        _ -> ok
    end,
    {noreply, Sum + byte_size(Payload)}.

%% Processor time of all threads so far, in nanoseconds.
cpu() ->
    {ok, Threads} = file:list_dir("/proc/self/task"),
    lists:sum([cpu_of(Thread) || Thread <- Threads]).

cpu_of(Thread) ->
    case file:read_file(["/proc/self/task/", Thread, "/schedstat"]) of
        {ok, Text} -> binary_to_integer(hd(binary:split(Text, <<" ">>)));
        {error, _} -> 0
    end.

%% Resident memory in bytes.
resident() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = binary:split(Statm, <<" ">>, [global]),
    binary_to_integer(Pages) * 4096.

times(0, _) -> ok;
times(Count, Function) -> Function(), times(Count - 1, Function).

each(Name, Used, Count) -> {Name, Used / Count}.

server() ->
    {ok, Server} = gen_server:start(?MODULE, none, []),
    Server.

servers(Count) -> [server() || _ <- lists:seq(1, Count)].

run(spawn, Count) ->
    Warm = servers(Count div 10),
    Memory = resident(),
    Begun = cpu(),
    Servers = servers(Count),
    Used = cpu() - Begun,
    Bytes = resident() - Memory,
    {memory, Own} = process_info(hd(Servers), memory),
    true = length(processes()) > length(Servers) + length(Warm),
    [each(ns, Used, Count), each(bytes, Bytes, Count), {process_info_bytes, Own}];
run(spawn_supervised, Count) ->
    Child = #{id => child, start => {?MODULE, start_link, []}, restart => temporary},
    Flags = #{strategy => simple_one_for_one},
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, Flags, [Child]}),
    Start = fun() -> {ok, _} = supervisor:start_child(Supervisor, []) end,
    times(Count div 10, Start),
    Begun = cpu(),
    times(Count, Start),
    [each(ns, cpu() - Begun, Count)];
run(call, Count) ->
    Server = server(),
    calls(Server, Count div 10),
    Begun = cpu(),
    calls(Server, Count),
    [each(ns, cpu() - Begun, Count)];
run(call_100, Count) ->
    Server = server(),
    Callers = [spawn_monitor(fun() ->
        gen_server:call(Server, get),
        receive go -> ok end,
        calls(Server, Count div ?CALLERS)
    end) || _ <- lists:seq(1, ?CALLERS)],
    calls(Server, Count div 10),
    Begun = cpu(),
    [Caller ! go || {Caller, _} <- Callers],
    [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Callers],
    [each(ns, cpu() - Begun, Count)];
run(cast, Count) ->
    Server = server(),
    casts(Server, 100),
    Begun = cpu(),
    casts(Server, Count div ?WINDOW),
    Used = cpu() - Begun,
    Sum = (Count div ?WINDOW + 100) * ?WINDOW,
    Sum = gen_server:call(Server, get),
    [each(ns, Used, Count)];
run(fan_out_10k, Count) -> fan_out(10000, Count);
run(fan_out_100k, Count) -> fan_out(100000, Count);
run(restart, Count) ->
    restarts(2),
    Rounds = Count div ?RESTARTS,
    [each(ns, restarts(Rounds), Rounds * ?RESTARTS)];
run(lookup, Count) ->
    %% The table of Elixir's Registry: {Key, {Pid, Value}}, looked up, then is it alive?
    Table = ets:new(registry, [set, public, {read_concurrency, true}]),
    Names = [begin
        Name = list_to_atom("server_" ++ integer_to_list(Number)),
        {ok, Server} = gen_server:start({local, Name}, ?MODULE, none, []),
        ets:insert(Table, {Number, {Server, none}}),
        Name
    end || Number <- lists:seq(1, ?NAMES)],
    Rounds = Count div ?NAMES,
    Numbers = lists:seq(1, ?NAMES),
    A = cpu(),
    times(Rounds, fun() -> whereis_all(Names) end),
    B = cpu(),
    times(Rounds, fun() -> ets_all(Table, Numbers) end),
    C = cpu(),
    times(Rounds, fun() -> registry_all(Table, Numbers) end),
    D = cpu(),
    All = Rounds * ?NAMES,
    [each(whereis_ns, B - A, All), each(registry_ns, C - B, All),
     each(registry_ref_ns, D - C, All)].

calls(_, 0) -> ok;
calls(Server, Count) ->
    _ = gen_server:call(Server, get),
    calls(Server, Count - 1).

casts(_, 0) -> ok;
casts(Server, Rounds) ->
    cast_window(Server, ?WINDOW),
    _ = gen_server:call(Server, get),
    casts(Server, Rounds - 1).

cast_window(_, 0) -> ok;
cast_window(Server, Count) ->
    gen_server:cast(Server, {add, 1}),
    cast_window(Server, Count - 1).

fan_out(Width, Count) ->
    Servers = servers(Width),
    %% More than 64 bytes: counted, not copied.
    Payload = binary:copy(<<7>>, ?PAYLOAD),
    Rounds = max(Count div Width, 1),
    Round = fun() ->
        Left = atomics:new(1, []),
        atomics:put(Left, 1, Width),
        fan(Servers, {event, Payload, Left, self()}),
        receive done -> ok end
    end,
    times(2, Round),
    Begun = cpu(),
    times(Rounds, Round),
    [each(ns, cpu() - Begun, Rounds * Width)].

fan([], _) -> ok;
fan([Server | Servers], Event) ->
    gen_server:cast(Server, Event),
    fan(Servers, Event).

restarts(0) -> 0;
restarts(Rounds) ->
    Child = #{id => child, start => {gen_server, start_link, [?MODULE, {tell, self()}, []]}},
    Flags = #{strategy => one_for_one, intensity => 1000000, period => 1},
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, Flags, [Child]}),
    Begun = cpu(),
    receive {started, Pid} -> restart(Pid, ?RESTARTS) end,
    Used = cpu() - Begun,
    unlink(Supervisor),
    gen_server:stop(Supervisor, shutdown, 5000),
    Used + restarts(Rounds - 1).

restart(_, 0) -> ok;
restart(Pid, Count) ->
    exit(Pid, kill),
    receive {started, Successor} ->
        _ = gen_server:call(Successor, get),
        restart(Successor, Count - 1)
    end.

whereis_all([]) -> ok;
whereis_all([Name | Names]) ->
    true = is_pid(whereis(Name)),
    whereis_all(Names).

ets_all(_, []) -> ok;
ets_all(Table, [Key | Keys]) ->
    [{_, {_, _}}] = ets:lookup(Table, Key),
    ets_all(Table, Keys).

registry_all(_, []) -> ok;
registry_all(Table, [Key | Keys]) ->
    [{_, {Pid, _}}] = ets:lookup(Table, Key),
    true = is_process_alive(Pid),
    registry_all(Table, Keys).
