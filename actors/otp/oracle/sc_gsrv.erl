%% Servers: starts, calls and their failures, ends, continue, timeouts.
-module(sc_gsrv).
-export([scenarios/0]).
-import(oracle, [line/1, down/1, exit_of/1, nothing/0, alive_or_down/2, until/1, reasons/0, reasons/1]).

scenarios() ->
    [{key([start_fails, F, How, Named]), fun() -> start_fails(Begin, How, Named) end}
     || {F, Begin} <- failures(), How <- [start, start_link, start_monitor], Named <- [unnamed, named]] ++
    [{key([start_works, How, Named]), fun() -> start_works(How, Named) end}
     || How <- [start, start_link, start_monitor], Named <- [unnamed, named]] ++
    [{key([start_under_a_taken_name, How]), fun() -> start_taken(How) end} || How <- [start, start_link, start_monitor]] ++
    [{key([call_server_stops, N]), fun() -> call_ends(R) end} || {N, R} <- local_reasons() ++ [{crash, crash}]] ++
    [{key([call_server_exits_by_signal, N]), fun() -> call_signal(R) end} || {N, R} <- local_reasons(), N =/= normal] ++
    [{key([call_in_queue_of_a_server_that_stops, N]), fun() -> call_queued(R) end}
     || {N, R} <- reasons([normal, shutdown, shutdown_with, custom]) ++ [{crash, crash}, {signal_kill, {signal, kill}}]] ++
    [{key([terminate, How, N, Trap]), fun() -> terminate(How, R, Trap =:= trapping) end}
     || How <- [stop_from_handler, stop_from_call, stop_from_info, stop_from_continue, stop_request,
                parent_ends, parent_signals, linked_ends, linked_signals, stranger_signals],
        {N, R} <- reasons([normal, shutdown, shutdown_with, kill, custom, error]) ++ [{crash, crash}],
        Trap <- [plain, trapping], makes_sense(How, R)] ++
    [{key([terminate, What, after_stop, N]), fun() -> terminate_fails(Plan, R) end}
     || {What, Plan} <- [{crashes, crash}, {exits, {exit, why}}], {N, R} <- reasons([normal, shutdown, custom])] ++
    [{key([stop_request_then, N]), fun() -> stop_differs(R) end} || {N, R} <- reasons([normal, shutdown, custom])] ++
    singles().

key(Parts) -> lists:join("_", [atom_to_list(P) || P <- Parts]).

%% A call reports noconnection as the node that is down, though here the reason is the server's own.
local_reasons() -> [{N, R} || {N, R} <- reasons(), N =/= noconnection].

failures() ->
    [{ignore, ignore}, {stop_normal, {stop, normal}}, {stop_shutdown, {stop, shutdown}}, {stop_custom, {stop, boom}},
     {stop_error, {stop, {error, bad}}}, {crash, crash}, {exit_custom, {exit, boom}}, {timeout, hang}].

%% A signal of normal to a process that does not trap is no end; a crash is no signal.
makes_sense(How, crash) -> lists:member(How, [stop_from_handler, stop_from_call, stop_from_info, stop_from_continue, parent_ends, linked_ends]);
%% An own exit with kill as a signal is kill itself: the same row as the signal.
makes_sense(parent_ends, kill) -> true;
makes_sense(_, _) -> true.

worker(Label) -> oracle_worker:start(#{label => Label, quiet => true}).

target(Trap) ->
    Worker = oracle_worker:start(#{label => target, trap => Trap}),
    {Worker, oracle:watch(Worker)}.

%% ---- 3.4: starts --------------------------------------------------------------------------------

start_fails(Begin, How, Named) ->
    Options = case Begin of hang -> [{timeout, 1}]; _ -> [] end,
    case start(How, Named, #{label => target, init => Begin, quiet => true}, Options) of
        ignore -> line([start, ignore]);
        {error, timeout} when Begin =:= hang -> line([start, timeout]);
        {error, Reason} -> line([start, failed, {reason, Reason}])
    end,
    %% What the link of start_link does to a caller that traps differs between releases; not here.
    How =:= start_link andalso flush_exits(),
    line([whereis, where()]),
    nothing().

start_works(How, Named) ->
    case start(How, Named, #{label => target}, []) of
        {ok, {Pid, Ref}} -> line([start, ok, Pid]), line([whereis, where()]), oracle_worker:stop(Pid, boom), down(Ref);
        {ok, Pid} ->
            line([start, ok, Pid]), line([whereis, where()]),
            Ref = oracle:watch(Pid),
            oracle_worker:stop(Pid, boom), How =:= start_link andalso exit_of(Pid), down(Ref)
    end,
    line([whereis, where()]),
    nothing().

start_taken(How) ->
    {ok, First} = start(start, named, #{label => first}, []),
    {error, {already_started, Pid}} = start(How, named, #{label => second}, []),
    How =:= start_link andalso flush_exits(),
    line([start, already_started, Pid]),
    line([whereis, where()]),
    nothing(),
    oracle_worker:sync(First).

start(start, unnamed, Plan, Options) -> gen_server:start(oracle_worker, Plan, Options);
start(start, named, Plan, Options) -> gen_server:start({local, named}, oracle_worker, Plan, Options);
start(start_link, unnamed, Plan, Options) -> gen_server:start_link(oracle_worker, Plan, Options);
start(start_link, named, Plan, Options) -> gen_server:start_link({local, named}, oracle_worker, Plan, Options);
start(start_monitor, unnamed, Plan, Options) -> gen_server:start_monitor(oracle_worker, Plan, Options);
start(start_monitor, named, Plan, Options) -> gen_server:start_monitor({local, named}, oracle_worker, Plan, Options).

flush_exits() -> receive {'EXIT', _, _} -> flush_exits() after 0 -> ok end.

where() ->
    case whereis(named) of undefined -> none; Pid -> Pid end.

%% ---- 3.3: calls -----------------------------------------------------------------------------------

call(Server, Request) -> call(Server, Request, 5000).
call(Server, Request, Timeout) -> line(outcome(Server, Request, Timeout)).

outcome(Server, Request, Timeout) ->
    try gen_server:call(Server, Request, Timeout) of
        Answer -> [call, answer, Answer]
    catch exit:Why -> [call, error, oracle:call_error(Why)]
    end.

%% The answer and the end that follows it have two observers: the answer is told last.
call_then_down(Server, Ref, Fun) ->
    Outcome = outcome(Server, {run, Fun}, 5000),
    down(Ref),
    line(Outcome),
    nothing().

%% The server ends without an answer, in the very request.
call_ends(crash) -> call_ends(fun(_, _) -> error(oops) end);
call_ends(Fun) when is_function(Fun) ->
    {Server, Ref} = target(false), call(Server, {run, Fun}), down(Ref), nothing();
call_ends(Reason) -> call_ends(fun(_, State) -> {stop, Reason, State} end).

%% Somebody ends the server while it works on the request.
call_signal(Reason) ->
    {Server, Ref} = target(false),
    Killer = worker(killer),
    call(Server, {run, fun(_, State) ->
        Me = self(),
        oracle_worker:cast(Killer, fun(S) -> exit(Me, Reason), {noreply, S} end),
        receive never -> {reply, ok, State} end
    end}),
    down(Ref),
    nothing().

%% The request waits behind something which ends the server.
call_queued(How) ->
    {Server, Ref} = target(false),
    Caller = worker(caller),
    oracle_worker:busy(Server),
    case How of {signal, _} -> ok; _ -> oracle_worker:finish(Server, How) end,
    Queued = 1 + case How of {signal, _} -> 0; _ -> 1 end,
    oracle_worker:cast(Caller, fun(S) -> call(Server, get), {noreply, S} end),
    until(fun() -> process_info(Server, message_queue_len) =:= {message_queue_len, Queued} end),
    case How of {signal, _} -> oracle_worker:finish(Server, How); _ -> oracle_worker:free(Server) end,
    oracle:await([call], 1),
    down(Ref),
    nothing().

%% ---- 3.5: ends --------------------------------------------------------------------------------------

terminate(stop_from_handler, How, Trap) ->
    {Target, Ref} = target(Trap), oracle_worker:finish(Target, How), down(Ref), nothing();
terminate(stop_from_call, How, Trap) ->
    {Target, Ref} = target(Trap),
    call_then_down(Target, Ref, fun(_, _) when How =:= crash -> error(oops); (_, S) -> {stop, How, answered, S} end);
terminate(stop_from_info, How, Trap) ->
    {Target, Ref} = target(Trap),
    Target ! {run, fun(_) when How =:= crash -> error(oops); (S) -> {stop, How, S} end},
    down(Ref), nothing();
terminate(stop_from_continue, How, Trap) ->
    {Target, Ref} = target(Trap),
    case How of
        crash -> oracle_worker:cast(Target, fun(S) -> {noreply, S, {continue, {then, c1, crash()}}} end);
        _ -> oracle_worker:cast(Target, fun(S) -> {noreply, S, {continue, {then, c1, {stop, How}}}} end)
    end,
    down(Ref), nothing();
terminate(stop_request, Reason, Trap) ->
    {Target, Ref} = target(Trap),
    line([stop, gen_server:stop(Target, Reason, 5000)]), down(Ref), nothing();
terminate(parent_ends, How, Trap) ->
    {Parent, Target, Ref} = child(Trap),
    oracle_worker:finish(Parent, How), over(Target, Ref, How, Trap, Parent);
terminate(parent_signals, Reason, Trap) ->
    {Parent, Target, Ref} = child(Trap),
    oracle_worker:within(Parent, fun() -> unlink(Target), exit(Target, Reason) end),
    alive_or_down(Target, Ref), nothing();
terminate(linked_ends, How, Trap) ->
    {Target, Ref} = target(Trap), Peer = worker(peer),
    oracle_worker:within(Target, fun() -> link(Peer) end),
    oracle_worker:finish(Peer, How), over(Target, Ref, How, Trap, Peer);
terminate(linked_signals, Reason, Trap) ->
    {Target, Ref} = target(Trap), Peer = worker(peer),
    oracle_worker:within(Target, fun() -> link(Peer) end),
    oracle_worker:within(Peer, fun() -> unlink(Target), exit(Target, Reason) end),
    alive_or_down(Target, Ref), nothing();
terminate(stranger_signals, Reason, Trap) ->
    {Target, Ref} = target(Trap), exit(Target, Reason), alive_or_down(Target, Ref), nothing().

crash() -> {stop, {oops, [{sc_gsrv, crash, 0, []}]}}.

child(Trap) ->
    Parent = worker(parent),
    Target = oracle_worker:start_link_in(Parent, #{label => target, trap => Trap}, []),
    {Parent, Target, oracle:watch(Target)}.

%% The link is gone when the end of the peer has been received.
over(Target, Ref, _, _, Peer) ->
    until(fun() -> case process_info(Target, links) of {links, L} -> not lists:member(Peer, L); _ -> true end end),
    alive_or_down(Target, Ref),
    nothing().

terminate_fails(Plan, Reason) ->
    Target = oracle_worker:start(#{label => target, terminate => Plan}),
    Ref = oracle:watch(Target),
    oracle_worker:stop(Target, Reason), down(Ref), nothing().

%% The server is asked to stop normally, but ends for another reason on the way.
stop_differs(Reason) ->
    Target = oracle_worker:start(#{label => target, terminate => {exit, Reason}}),
    Ref = oracle:watch(Target),
    line([stop, try gen_server:stop(Target, normal, 5000) catch exit:Why -> ["error ", oracle:call_error(Why)] end]),
    down(Ref), nothing().

%% ---- the rest ---------------------------------------------------------------------------------------

singles() ->
    [{"call_answers", fun() -> {S, _} = target(false), call(S, get) end},
     {"call_of_a_dead_process", fun() ->
        {S, Ref} = target(false), oracle_worker:stop(S, boom), down(Ref), call(S, get), nothing() end},
     {"call_of_a_free_name", fun() -> call(named, get), nothing() end},
     {"call_of_a_name", fun() -> oracle_worker:start(named, #{label => target}), call(named, get), nothing() end},
     {"call_itself", fun() ->
        {S, Ref} = target(false),
        oracle_worker:within(S, fun() -> call(S, get) end), alive_or_down(S, Ref), nothing() end},
     {"call_takes_too_long", fun() ->
        {S, _} = target(false), oracle_worker:busy(S), call(S, get, 1), oracle_worker:free(S),
        oracle_worker:sync(S), nothing() end},
     {"call_that_took_too_long_still_runs", fun() ->
        {S, _} = target(false), oracle_worker:busy(S),
        call(S, {run, fun(_, St) -> line([ran]), {reply, late, St} end}, 1), oracle_worker:free(S),
        oracle:await([ran], 1), oracle_worker:sync(S), nothing() end},
     {"call_with_a_limit_of_zero", fun() ->
        {S, _} = target(false), oracle_worker:busy(S), call(S, get, 0), oracle_worker:free(S),
        oracle_worker:sync(S), nothing() end},
     {"call_answered_by_another_process", fun() ->
        {S, _} = target(false), Other = worker(other),
        call(S, {run, fun(From, St) ->
            oracle_worker:cast(Other, fun(O) -> gen_server:reply(From, other), {noreply, O} end), {noreply, St} end}),
        nothing() end},
     {"call_answered_later_by_a_cast", fun() ->
        {S, _} = target(false), Caller = worker(caller),
        oracle_worker:cast(Caller, fun(C) -> call(S, hold(held)), {noreply, C} end),
        oracle:await([held], 1),
        oracle_worker:cast(S, fun(#{held := [From]} = St) -> gen_server:reply(From, later), {noreply, St} end),
        oracle:await([call, answer], 1) end},
     {"calls_answered_in_reverse", fun() ->
        {S, _} = target(false),
        [begin
            Caller = worker(caller),
            oracle_worker:cast(Caller, fun(C) -> line([got, N, gen_server:call(S, hold(N))]), {noreply, C} end),
            oracle:await([N], 1)
         end || N <- [one, two, three]],
        [begin
            oracle_worker:cast(S, fun(#{held := [From | Rest]} = St) -> gen_server:reply(From, N), {noreply, St#{held := Rest}} end),
            oracle:await([got], N)
         end || N <- [1, 2, 3]] end},
     {"call_answered_then_stop", fun() ->
        {S, Ref} = target(false),
        call_then_down(S, Ref, fun(From, St) -> gen_server:reply(From, answer), {stop, boom, St} end) end},
     {"call_answered_then_crash", fun() ->
        {S, Ref} = target(false),
        call_then_down(S, Ref, fun(From, _) -> gen_server:reply(From, answer), error(oops) end) end},
     {"call_of_a_caller_that_is_gone", fun() ->
        {S, Ref} = target(false), Caller = worker(caller),
        oracle_worker:cast(Caller, fun(C) -> call(S, hold(held)), {noreply, C} end), oracle:await([held], 1),
        CRef = oracle:watch(Caller), exit(Caller, kill), down(CRef),
        oracle_worker:cast(S, fun(#{held := [From]} = St) -> gen_server:reply(From, later), {noreply, St} end),
        alive_or_down(S, Ref), nothing() end},
     {"call_held_when_the_server_stops", fun() ->
        {S, Ref} = target(false), Caller = worker(caller),
        oracle_worker:cast(Caller, fun(C) -> call(S, hold(held)), {noreply, C} end), oracle:await([held], 1),
        oracle_worker:stop(S, boom), oracle:await([call], 1), down(Ref), nothing() end},
     {"two_calls_held_when_the_server_stops", fun() ->
        {S, Ref} = target(false),
        [begin
            Caller = worker(caller),
            oracle_worker:cast(Caller, fun(C) -> call(S, hold(N)), {noreply, C} end), oracle:await([N], 1)
         end || N <- [one, two]],
        oracle_worker:stop(S, boom), oracle:await([call], 2), down(Ref), nothing() end},
     {"calls_and_casts_keep_their_order", fun() ->
        {S, _} = target(false), oracle_worker:note(S, m1), call(S, get), oracle_worker:note(S, m2), call(S, get) end},
     {"cast_to_a_dead_process_is_nothing", fun() ->
        {S, Ref} = target(false), oracle_worker:stop(S, normal), down(Ref), oracle_worker:note(S, m1), nothing() end},
     {"cast_to_a_free_name_is_nothing", fun() -> oracle_worker:note(nobody, m1), nothing() end},
     {"info_is_a_plain_message", fun() ->
        {S, Ref} = target(false), S ! hello, alive_or_down(S, Ref) end},

     {"continue_runs_before_the_mailbox_from_init", fun() ->
        {ok, S} = gen_server:start(oracle_worker,
            #{label => target, init => {script, counters:new(1, []), fun(_) ->
                oracle_worker:note(self(), queued), {continue, {then, c1, go}} end}}, []),
        oracle_worker:sync(S) end},
     {"continue_runs_before_the_mailbox_from_cast", fun() ->
        {S, _} = target(false), oracle_worker:busy(S),
        oracle_worker:cast(S, fun(St) -> {noreply, St, {continue, {then, c1, go}}} end), oracle_worker:note(S, queued),
        oracle_worker:free(S), oracle_worker:sync(S) end},
     {"continue_runs_before_the_mailbox_from_call", fun() ->
        {S, _} = target(false),
        gen_server:call(S, {run, fun(_, St) -> oracle_worker:note(self(), queued), {reply, answer, St, {continue, {then, c1, go}}} end}),
        oracle_worker:sync(S) end},
     {"continue_runs_before_the_mailbox_from_info", fun() ->
        {S, _} = target(false),
        S ! {run, fun(St) -> oracle_worker:note(self(), queued), {noreply, St, {continue, {then, c1, go}}} end},
        oracle:await([handle], 1), oracle_worker:sync(S) end},
     {"continue_may_follow_continue", fun() ->
        {S, _} = target(false),
        oracle_worker:cast(S, fun(St) -> oracle_worker:note(self(), queued),
            {noreply, St, {continue, {then, c1, {then, c2, {then, c3, go}}}}} end), oracle_worker:sync(S),
        oracle:await([handle], 1) end},
     {"continue_may_stop_from_init", fun() ->
        S = oracle_worker:start(#{label => target, init => {continue, {then, c1, {stop, boom}}}}),
        down_or_noproc(S), nothing() end},

     {"timeout_after_silence", fun() ->
        {S, _} = target(false), oracle_worker:cast(S, fun(St) -> {noreply, St, 1} end),
        oracle:await([info, target, timeout], 1) end},
     {"timeout_of_zero", fun() ->
        {S, _} = target(false), oracle_worker:cast(S, fun(St) -> {noreply, St, 0} end),
        oracle:await([info, target, timeout], 1) end},
     {"timeout_is_cancelled_by_a_message", fun() ->
        {S, _} = target(false), oracle_worker:busy(S),
        oracle_worker:cast(S, fun(St) -> {noreply, St, 20} end), oracle_worker:note(S, m1), oracle_worker:free(S),
        oracle_worker:sync(S),
        oracle_worker:within(S, fun() -> erlang:send_after(40, self(), later) end),
        oracle:await([info, target, later], 1) end},
     {"timeout_is_cancelled_by_a_down", fun() ->
        {S, _} = target(false), Other = worker(other),
        oracle_worker:within(S, fun() -> oracle:watch(Other) end),
        oracle_worker:busy(S), oracle_worker:cast(S, fun(St) -> {noreply, St, 20} end),
        oracle_worker:stop(Other, boom), until(fun() -> process_info(S, message_queue_len) =:= {message_queue_len, 2} end),
        oracle_worker:free(S), oracle:await([info, target, down], 1),
        oracle_worker:within(S, fun() -> erlang:send_after(40, self(), later) end),
        oracle:await([info, target, later], 1) end},

     {"stop_request_normal", fun() -> stop_request(fun(S) -> S end) end},
     {"stop_request_of_a_name", fun() ->
        S = oracle_worker:start(named, #{label => target}), Ref = oracle:watch(S),
        line([stop, gen_server:stop(named)]), down(Ref), line([whereis, where()]), nothing() end},
     {"stop_request_twice", fun() ->
        {S, Ref} = target(false), line([stop, gen_server:stop(S)]), down(Ref), line([stop, stop(S, normal, 1000)]) end},
     {"stop_request_of_a_free_name", fun() -> line([stop, stop(named, normal, 1000)]) end},
     {"stop_request_takes_too_long", fun() ->
        {S, Ref} = target(false), oracle_worker:busy(S), line([stop, stop(S, normal, 1)]), oracle_worker:free(S),
        down(Ref), nothing() end},
     {"stop_request_waits_its_turn", fun() ->
        {S, Ref} = target(false), oracle_worker:note(S, m1), line([stop, gen_server:stop(S)]), down(Ref), nothing() end},
     {"stop_request_and_the_queue_behind_it", fun() ->
        {S, Ref} = target(false), oracle_worker:busy(S), Stopper = worker(stopper),
        oracle_worker:cast(Stopper, fun(St) -> line([stop, gen_server:stop(S)]), {noreply, St} end),
        until(fun() -> process_info(S, message_queue_len) =:= {message_queue_len, 1} end),
        oracle_worker:note(S, late), oracle_worker:free(S), oracle:await([stop], 1), down(Ref), nothing() end},
     {"stop_request_to_one_that_is_killed", fun() ->
        {S, Ref} = target(false), oracle_worker:busy(S), Stopper = worker(stopper),
        oracle_worker:cast(Stopper, fun(St) -> line([stop, stop(S, normal, 5000)]), {noreply, St} end),
        until(fun() -> process_info(S, message_queue_len) =:= {message_queue_len, 1} end),
        exit(S, kill), oracle:await([stop], 1), down(Ref), nothing() end},

     {"killed_while_terminate_runs", fun() ->
        S = oracle_worker:start(#{label => target, terminate => hang}), Ref = oracle:watch(S),
        oracle_worker:stop(S, boom), oracle:await([terminate], 1), exit(S, kill), down(Ref), nothing() end},
     {"signal_while_terminate_runs_plain", fun() ->
        S = oracle_worker:start(#{label => target, terminate => hang}), Ref = oracle:watch(S),
        oracle_worker:stop(S, boom), oracle:await([terminate], 1), exit(S, other), down(Ref), nothing() end},
     {"terminate_runs_before_links_fire", fun() ->
        {S, Ref} = target(true), link(S), oracle_worker:stop(S, boom), exit_of(S), down(Ref), nothing() end},
     {"children_end_with_a_parent_that_stops", fun() ->
        Parent = worker(parent), [A, B] = [oracle_worker:start_link_in(Parent, #{label => L}, []) || L <- [a, b]],
        Refs = [oracle:watch(P) || P <- [A, B]], oracle_worker:stop(Parent, boom), [down(R) || R <- Refs], nothing() end},
     {"children_outlive_a_parent_that_ends_normally_plain", fun() ->
        Parent = worker(parent), A = oracle_worker:start_link_in(Parent, #{label => a}, []), Ref = oracle:watch(A),
        oracle_worker:stop(Parent, normal), until(fun() -> process_info(A, links) =:= {links, []} end),
        alive_or_down(A, Ref), nothing() end},
     {"parent_traps_and_sees_its_child_end", fun() ->
        Parent = oracle_worker:start(#{label => parent, trap => true, quiet => true}),
        A = oracle_worker:start_link_in(Parent, #{label => a}, []),
        oracle_worker:stop(A, boom), oracle:await([info, parent, exit], 1) end}].

hold(Line) ->
    {run, fun(From, St) -> line([Line]), {noreply, St#{held => [From | maps:get(held, St, [])]}} end}.

stop(Server, Reason, Limit) ->
    try gen_server:stop(Server, Reason, Limit) catch exit:Why -> ["error ", oracle:call_error(Why)] end.

stop_request(Of) ->
    {S, Ref} = target(false), line([stop, gen_server:stop(Of(S))]), down(Ref), nothing().

down_or_noproc(Pid) ->
    Ref = oracle:watch(Pid),
    receive {'DOWN', Ref, _, _, _} -> ok end.
