%% System messages: state, suspend and resume, terminate; what proc_lib promises of a start.
-module(sc_sys).
-export([scenarios/0]).
-import(oracle, [line/1, down/1, exit_of/1, nothing/0, alive_or_down/2, until/1, reasons/1]).

scenarios() ->
    [{key([terminate, N, Trap]), fun() -> terminate(R, Trap =:= trapping, false) end}
     || {N, R} <- ends(), Trap <- [plain, trapping]] ++
    [{key([terminate_while_suspended, N]), fun() -> terminate(R, false, true) end} || {N, R} <- ends()] ++
    [{key([signal_while_suspended, N, Trap]), fun() -> signal(R, Trap =:= trapping) end}
     || {N, R} <- ends() ++ [{kill, kill}], Trap <- [plain, trapping]] ++
    [{key([parent_ends_while_suspended, N]), fun() -> parent(R) end} || {N, R} <- ends()] ++
    [{key([request_to_a_dead_process, F]), fun() -> dead(F, A) end} || {F, A} <- requests()] ++
    [{key([request_to_a_free_name, F]), fun() -> free_name(F, A) end} || {F, A} <- requests()] ++
    singles().

key(Parts) -> lists:join("_", [atom_to_list(P) || P <- Parts]).

ends() -> reasons([normal, shutdown, shutdown_with, custom]).

requests() ->
    [{suspend, []}, {resume, []}, {get_state, []}, {get_status, []}, {replace_state, [fun(S) -> S end]}, {terminate, [normal]}].

%% The state of a counter server: its plan with n.
server() -> server(false).
server(Trap) ->
    Pid = oracle_worker:start(#{label => target, trap => Trap, n => 1}),
    {Pid, oracle:watch(Pid)}.

n(Server) -> #{n := N} = sys:get_state(Server), line([state, N]).

request(F, Target, Args) ->
    try apply(sys, F, [Target | Args]) of _ -> [F, " ok"]
    catch exit:{Why, {sys, _, _}} -> [atom_to_list(F), " exit ", oracle:call_error(Why)];
          exit:Why -> [atom_to_list(F), " exit ", oracle:call_error(Why)] end.

terminate(Reason, Trap, Suspended) ->
    {S, Ref} = server(Trap),
    Suspended andalso sys:suspend(S),
    line([terminate, sys:terminate(S, Reason)]),
    down(Ref), nothing().

signal(Reason, Trap) ->
    {S, Ref} = server(Trap),
    sys:suspend(S),
    exit(S, Reason),
    %% Suspended, it answers no ping; but system messages.
    try sys:get_state(S) of
        _ -> line([alive]), sys:resume(S), oracle:alive_or_down(S, Ref)
    catch exit:_ -> down(Ref) end,
    nothing().

parent(Reason) ->
    Parent = oracle_worker:start(#{label => parent, quiet => true}),
    S = oracle_worker:start_link_in(Parent, #{label => target, trap => true}, []),
    Ref = oracle:watch(S),
    sys:suspend(S),
    oracle_worker:stop(Parent, Reason),
    down(Ref), nothing().

dead(F, Args) ->
    {S, Ref} = server(), oracle_worker:stop(S, boom), down(Ref),
    line([request(F, S, Args)]), nothing().

free_name(F, Args) -> line([request(F, nobody, Args)]), nothing().

singles() ->
    [{"get_state", fun() -> {S, _} = server(), n(S), nothing() end},
     {"get_state_of_a_name", fun() -> oracle_worker:start(named, #{label => target, n => 5}), n(named), nothing() end},
     {"get_state_sees_what_was_sent_before", fun() ->
        {S, _} = server(), oracle_worker:cast(S, fun(St) -> {noreply, St#{n := 9}} end), n(S), nothing() end},
     {"get_state_while_suspended", fun() -> {S, _} = server(), sys:suspend(S), n(S), nothing() end},
     {"get_state_takes_too_long", fun() ->
        {S, _} = server(), oracle_worker:busy(S),
        line([get_state, try sys:get_state(S, 1) catch exit:Why -> ["exit ", oracle:call_error(Why)] end]),
        oracle_worker:free(S), oracle_worker:sync(S), n(S) end},
     {"replace_state", fun() ->
        {S, _} = server(), #{n := N} = sys:replace_state(S, fun(St) -> St#{n := 2} end), line([replaced, N]), n(S), nothing() end},
     {"replace_state_while_suspended", fun() ->
        {S, _} = server(), sys:suspend(S), sys:replace_state(S, fun(St) -> St#{n := 2} end), n(S), sys:resume(S), n(S), nothing() end},
     {"replace_state_that_crashes_keeps_the_state", fun() ->
        {S, Ref} = server(),
        line([replace_state, try sys:replace_state(S, fun(_) -> error(oops) end), ok catch _:_ -> failed end]),
        n(S), alive_or_down(S, Ref), nothing() end},
     {"suspended_it_keeps_its_queue", fun() ->
        {S, _} = server(), sys:suspend(S), [oracle_worker:note(S, M) || M <- [m1, m2, m3]],
        line([resume]), sys:resume(S), oracle_worker:sync(S), nothing() end},
     {"suspended_it_answers_no_call", fun() ->
        {S, _} = server(), sys:suspend(S),
        line([call, try gen_server:call(S, get, 1) catch exit:Why -> ["error ", oracle:call_error(Why)] end]),
        sys:resume(S), line([call, gen_server:call(S, get)]), nothing() end},
     {"suspended_a_call_waits_for_resume", fun() ->
        {S, _} = server(), sys:suspend(S), Caller = oracle_worker:start(#{label => caller, quiet => true}),
        oracle_worker:cast(Caller, fun(C) -> line([call, gen_server:call(S, get)]), {noreply, C} end),
        until(fun() -> process_info(S, message_queue_len) >= {message_queue_len, 1} end),
        line([resume]), sys:resume(S), oracle:await([call], 1), nothing() end},
     {"suspended_infos_wait_too", fun() ->
        {S, Ref} = server(true), sys:suspend(S), exit(S, boom), S ! hello, line([resume]), sys:resume(S),
        alive_or_down(S, Ref), nothing() end},
     {"suspended_downs_wait_too", fun() ->
        {S, Ref} = server(), Other = oracle_worker:start(#{label => other, quiet => true}),
        oracle_worker:within(S, fun() -> oracle:watch(Other) end), sys:suspend(S),
        oracle_worker:stop(Other, boom), until(fun() -> process_info(S, message_queue_len) =:= {message_queue_len, 1} end),
        line([resume]), sys:resume(S), alive_or_down(S, Ref), nothing() end},
     {"suspended_timers_wait_too", fun() ->
        {S, Ref} = server(), sys:suspend(S), erlang:send_after(1, S, timer),
        until(fun() -> process_info(S, message_queue_len) =:= {message_queue_len, 1} end),
        line([resume]), sys:resume(S), alive_or_down(S, Ref), nothing() end},
     {"suspend_twice_resume_once", fun() ->
        {S, Ref} = server(), line([suspend, sys:suspend(S)]), line([suspend, sys:suspend(S)]), line([resume, sys:resume(S)]),
        alive_or_down(S, Ref), nothing() end},
     {"resume_of_one_that_runs", fun() -> {S, Ref} = server(), line([resume, sys:resume(S)]), alive_or_down(S, Ref), nothing() end},
     {"suspend_waits_for_the_handler", fun() ->
        {S, _} = server(), oracle_worker:cast(S, fun(St) -> line([handled]), {noreply, St} end),
        sys:suspend(S), line([suspended]), nothing() end},
     {"status_tells_suspended", fun() ->
        {S, _} = server(),
        Status = fun() -> {status, _, _, [_, State | _]} = sys:get_status(S), line([status, State]) end,
        Status(), sys:suspend(S), Status(), sys:resume(S), Status(), nothing() end},
     {"stop_request_while_suspended", fun() ->
        {S, Ref} = server(), sys:suspend(S), line([stop, gen_server:stop(S)]), down(Ref), nothing() end},
     {"kill_while_suspended", fun() -> {S, Ref} = server(true), sys:suspend(S), exit(S, kill), down(Ref), nothing() end},
     {"the_queue_is_lost_when_it_ends_suspended", fun() ->
        {S, Ref} = server(), sys:suspend(S), oracle_worker:note(S, m1), sys:terminate(S, normal), down(Ref), nothing() end},
     {"supervisor_suspended_restarts_after_resume", fun() ->
        {ok, Sup} = supervisor:start_link(sc_sup, {#{strategy => one_for_one, intensity => 5},
            [#{id => a, start => {oracle_worker, start_link, [#{label => a, trap => true}]}}]}),
        [{a, Pid, _, _}] = supervisor:which_children(Sup), sys:suspend(Sup),
        oracle_worker:stop(Pid, boom), until(fun() -> process_info(Sup, message_queue_len) =:= {message_queue_len, 1} end),
        line([resume]), sys:resume(Sup), oracle:await([init, a], 2), nothing() end},
     {"statistics_count_messages", fun() ->
        {S, _} = server(), line([statistics, element(2, sys:statistics(S, get))]),
        sys:statistics(S, true), oracle_worker:sync(S), oracle_worker:sync(S),
        {ok, Stats} = sys:statistics(S, get), line([messages_in, proplists:get_value(messages_in, Stats)]),
        line([messages_out, proplists:get_value(messages_out, Stats)]),
        sys:statistics(S, false), line([statistics, element(2, sys:statistics(S, get))]) end},
     {"log_keeps_the_last_events", fun() ->
        {S, _} = server(), sys:log(S, {true, 2}),
        [oracle_worker:note(S, M) || M <- [m1, m2, m3]], {ok, Log} = sys:log(S, get),
        [line([event, M]) || {in, {'$gen_cast', {note, M}}} <- Log], sys:log(S, false) end},
     {"install_sees_every_event_until_removed", fun() ->
        {S, _} = server(),
        Fun = fun(St, {in, {'$gen_cast', {note, M}}}, _) -> line([seen, M]), St; (St, _, _) -> St end,
        sys:install(S, {Fun, none}), oracle_worker:note(S, m1), oracle_worker:note(S, m2), oracle_worker:sync(S),
        sys:remove(S, Fun), oracle_worker:note(S, m3), oracle_worker:sync(S), nothing() end},
     {"start_returns_after_init", fun() ->
        {ok, Pid} = proc_lib:start(erlang, apply, [fun() -> line([init]), proc_lib:init_ack({ok, self()}), receive stop -> ok end end, []]),
        line([start, ok, Pid]), nothing() end},
     {"start_that_ends_before_its_init_is_over", fun() ->
        line([start, failed, {reason, element(2, proc_lib:start(erlang, apply, [fun() -> exit(boom) end, []]))}]), nothing() end},
     {"start_that_takes_too_long_is_killed", fun() ->
        Me = self(),
        {error, timeout} = proc_lib:start(erlang, apply, [fun() -> Me ! {here, self()}, receive never -> ok end end, []], 5),
        line([start, timeout]),
        receive {here, Pid} -> until(fun() -> not is_process_alive(Pid) end), line([alive, is_process_alive(Pid)]) end, nothing() end},
     {"stop_of_any_process", fun() ->
        {S, Ref} = server(), line([stop, proc_lib:stop(S)]), down(Ref), nothing() end},
     {"parent_and_ancestors", fun() ->
        Parent = oracle_worker:start(#{label => parent}),
        Child = oracle_worker:start_link_in(Parent, #{label => child}, []),
        {dictionary, D} = process_info(Child, dictionary), [First | _] = proplists:get_value('$ancestors', D),
        line([parent, First]), nothing() end}].
