%% A server which does what a scenario tells it, and writes down what happens to it.
%%
%% Plan: #{label, trap, quiet, init, before, terminate}. Quiet: no line for init and terminate.
%% Before: a function which runs first of all in terminate.
-module(oracle_worker).
-behaviour(gen_server).
-export([start/1, start/2, start_link/1, start_link/2, start_link_in/3]).
-export([within/2, cast/2, note/2, stop/2, crash/1, finish/2, busy/1, free/1, sync/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).

start(Plan) -> result(gen_server:start(?MODULE, Plan, [])).
start(Name, Plan) -> result(gen_server:start({local, Name}, ?MODULE, Plan, [])).
start_link(Plan) -> gen_server:start_link(?MODULE, Plan, []).
start_link(Name, Plan) -> gen_server:start_link({local, Name}, ?MODULE, Plan, []).

%% Has another worker start this one, as its parent.
start_link_in(Parent, Plan, Options) ->
    {ok, Pid} = within(Parent, fun() -> gen_server:start_link(?MODULE, Plan, Options) end),
    Pid.

result({ok, Pid}) -> Pid.

%% Runs a function in the worker and gives its result.
within(Worker, Fun) -> gen_server:call(Worker, {run, fun(_From, State) -> {reply, Fun(), State} end}).

%% Runs a function on the state; it returns what handle_cast returns.
cast(Worker, Fun) -> gen_server:cast(Worker, {run, Fun}).

note(Worker, Note) -> gen_server:cast(Worker, {note, Note}).

stop(Worker, Reason) -> cast(Worker, fun(State) -> {stop, Reason, State} end).

crash(Worker) -> cast(Worker, fun(_) -> error(oops) end).

%% How a worker comes to its end: crash, {signal, Reason} of the caller, or its own reason.
finish(Worker, crash) -> crash(Worker);
finish(Worker, {signal, Reason}) -> exit(Worker, Reason);
finish(Worker, Reason) -> stop(Worker, Reason).

%% Makes the worker wait inside a callback until free/1; it is there when this returns.
busy(Worker) ->
    Me = self(),
    Tag = make_ref(),
    cast(Worker, fun(State) -> Me ! {Tag, busy}, receive free -> {noreply, State} end end),
    receive {Tag, busy} -> ok end.

free(Worker) -> Worker ! free.

sync(Worker) -> gen_server:call(Worker, sync).

init(#{label := Label} = Plan) ->
    process_flag(trap_exit, maps:get(trap, Plan, false)),
    maps:get(quiet, Plan, false) orelse oracle:line([init, Label, self()]),
    begin_with(maps:get(init, Plan, ok), Plan).

begin_with(ok, Plan) -> {ok, Plan};
begin_with({continue, What}, Plan) -> {ok, Plan, {continue, What}};
begin_with(ignore, _) -> ignore;
begin_with({stop, Reason}, _) -> {stop, Reason};
begin_with(crash, _) -> error(oops);
begin_with({exit, Reason}, _) -> exit(Reason);
begin_with(hang, _) -> receive never -> ok end;
%% What happens at the first, the second, ... start.
begin_with({script, Counter, Fun}, Plan) ->
    counters:add(Counter, 1, 1),
    begin_with(Fun(counters:get(Counter, 1)), Plan).

handle_call({run, Fun}, From, State) -> Fun(From, State);
handle_call(sync, _, State) -> {reply, ok, State};
handle_call(get, _, State) -> {reply, 7, State}.

handle_cast({run, Fun}, State) -> Fun(State);
handle_cast({note, Note}, #{label := Label} = State) ->
    oracle:line([handle, Label, Note]),
    {noreply, State}.

handle_continue({then, Note, Return}, #{label := Label} = State) ->
    oracle:line([continue, Label, Note]),
    case Return of
        go -> {noreply, State};
        {stop, Reason} -> {stop, Reason, State};
        Next -> {noreply, State, {continue, Next}}
    end.

handle_info({ping, From, Tag}, State) -> From ! {pong, Tag}, {noreply, State};
handle_info({run, Fun}, State) -> Fun(State);
handle_info({'EXIT', From, Reason}, #{label := Label} = State) ->
    oracle:line([info, Label, exit, From, {reason, Reason}]),
    {noreply, State};
handle_info({'DOWN', Ref, process, Pid, Reason}, #{label := Label} = State) ->
    oracle:line([info, Label, down, Ref, Pid, {reason, Reason}]),
    {noreply, State};
handle_info(Message, #{label := Label} = State) ->
    oracle:line([info, Label, Message]),
    {noreply, State}.

terminate(Reason, #{label := Label} = Plan) ->
    (maps:get(before, Plan, fun() -> ok end))(),
    maps:get(quiet, Plan, false) orelse oracle:line([terminate, Label, {reason, Reason}]),
    case maps:get(terminate, Plan, ok) of
        ok -> ok;
        crash -> error(oops);
        {exit, Why} -> exit(Why);
        hang -> receive never -> ok end
    end.
