%% Supervisors: restarts, start and stop order, shutdown kinds, intensity, auto shutdown,
%% administration of children.
-module(sc_sup).
-behaviour(supervisor).
-export([scenarios/0, init/1]).
-import(oracle, [line/1, down/1, exit_of/1, nothing/0, until/1, reasons/1]).

scenarios() ->
    [{key([restart, Strategy, Type, N]), fun() -> restart(Strategy, Type, R) end}
     || Strategy <- strategies(), Type <- types(), {N, R} <- ends()] ++
    [{key([start_fails, N, Position]), fun() -> start_fails(Begin, Position) end}
     || {N, Begin} <- failures(), Position <- [1, 2, 3]] ++
    [{key([start_ignored, Type]), fun() -> start_ignored(Type) end} || Type <- types()] ++
    [{key([start_child_fails, N, Type]), fun() -> start_child_fails(Begin, Type) end}
     || {N, Begin} <- failures() ++ [{ignore, ignore}], Type <- types()] ++
    [{key([shutdown, How, Kind, Child]), fun() -> shutdown(How, Shutdown, Plan) end}
     || How <- [stop, terminate_child], {Kind, Shutdown} <- [{brutal, brutal_kill}, {timeout, 5000}, {short, 1}, {infinity, infinity}],
        {Child, Plan} <- [{plain, #{}}, {trapping, #{trap => true}}, {hanging, #{trap => true, terminate => hang}},
                          {failing, #{trap => true, terminate => {exit, why}}}],
        fits(Kind, Child)] ++
    [{key([stop_order, Strategy]), fun() -> stop_order(Strategy) end} || Strategy <- strategies()] ++
    [{key([auto_shutdown, Auto, Type, N]), fun() -> auto(Auto, Type, [R]) end}
     || Auto <- [any_significant, all_significant], Type <- [transient, temporary], {N, R} <- ends()] ++
    [{key([auto_shutdown, Auto, Type, both, N]), fun() -> auto(Auto, Type, [R, R]) end}
     || Auto <- [all_significant], Type <- [transient, temporary], {N, R} <- ends()] ++
    [{key([auto_shutdown, by_another_child, Auto, N]), fun() -> auto_other(Auto, R) end}
     || Auto <- [any_significant, all_significant], {N, R} <- [{normal, normal}, {custom, boom}]] ++
    [{key([significant_refused_at_start, Auto, Type]), fun() -> significant_refused(Auto, Type) end}
     || Auto <- [never, any_significant, all_significant], Type <- types()] ++
    [{key([intensity, Strategy, N]), fun() -> intensity(Strategy, N) end} || Strategy <- strategies(), N <- [0, 1, 2, 3]] ++
    [{key([intensity_over_all_children, Strategy]), fun() -> intensity_over_all(Strategy) end} || Strategy <- strategies()] ++
    [{key([restart_fails, N, times, How, Strategy]), fun() -> restart_fails(Strategy, N, Begin) end}
     || Strategy <- strategies(), N <- [1, 2], {How, Begin} <- failures()] ++
    [{key([restart_fails_until_the_limit, Strategy]), fun() -> restart_fails(Strategy, 1000, {stop, boom}) end} || Strategy <- strategies()] ++
    [{key([restart_ignored, Strategy, Type]), fun() -> restart_ignored(Strategy, Type) end}
     || Strategy <- strategies(), Type <- [permanent, transient]] ++
    [{key([another_child_fails_in_the_restart, Strategy]), fun() -> another_fails(Strategy) end} || Strategy <- [one_for_all, rest_for_one]] ++
    [{key([temporary_bystander, Strategy]), fun() -> bystander(Strategy, temporary) end} || Strategy <- strategies()] ++
    [{key([transient_bystander, Strategy]), fun() -> bystander(Strategy, transient) end} || Strategy <- strategies()] ++
    [{key([significant_bystander, Strategy, Type]), fun() -> significant_bystander(Strategy, Type) end}
     || Strategy <- strategies(), Type <- [transient, temporary]] ++
    [{key([admin, Op, State]), fun() -> admin(Op, State) end}
     || Op <- [start_child, terminate_child, restart_child, delete_child, get_childspec],
        State <- [running, stopped, unknown, restarting]] ++
    singles().

key(Parts) -> lists:join("_", [case P of _ when is_integer(P) -> integer_to_list(P); _ -> atom_to_list(P) end || P <- Parts]).

strategies() -> [one_for_one, one_for_all, rest_for_one].
types() -> [permanent, transient, temporary].
ends() -> reasons([normal, shutdown, shutdown_with, custom]) ++ [{killed, {signal, kill}}, {crash, crash}].
failures() -> [{stop, {stop, boom}}, {crash, crash}, {exit, {exit, boom}}].

fits(brutal, hanging) -> true;
fits(short, hanging) -> true;
%% One that ends in time might be too late.
fits(short, _) -> false;
fits(_, plain) -> true;
fits(_, trapping) -> true;
fits(timeout, failing) -> true;
fits(infinity, failing) -> true;
fits(_, _) -> false.

%% ---- building -----------------------------------------------------------------------------------

init({Flags, Children}) -> {ok, {Flags, Children}}.

flags(Strategy) -> #{strategy => Strategy, intensity => 100, period => 5}.

%% A child: traps, so that its terminate runs.
child(Id) -> child(Id, #{}).
child(Id, Spec) -> child(Id, Spec, #{}).
child(Id, Spec, Plan) ->
    maps:merge(#{id => Id, start => {oracle_worker, start_link, [maps:merge(#{label => Id, trap => true}, Plan)]}}, Spec).

%% The supervisor is linked to the driver, as its parent.
start(Flags, Children) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {Flags, Children}),
    Sup.

pid(Sup, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {Id, Pid, _, _} -> Pid;
        false -> absent
    end.

%% In start order.
which(Sup) ->
    line([which | lists:append([[Id, state(Pid)] || {Id, Pid, _, _} <- lists:reverse(supervisor:which_children(Sup))])]).

state(undefined) -> stopped;
state(Other) -> Other.

count(Sup) ->
    Counts = supervisor:count_children(Sup),
    line([count | lists:append([[K, proplists:get_value(K, Counts)] || K <- [specs, active, supervisors, workers]])]).

%% Ends a child, and waits until the supervisor has dealt with it.
finish(Sup, Id, How) ->
    Pid = pid(Sup, Id),
    line(['end', Id, Pid]),
    oracle_worker:finish(Pid, How),
    dealt_with(Sup, Id, Pid).

dealt_with(Sup, Id, Pid) ->
    until(fun() ->
        try pid(Sup, Id) of
            Pid -> false;
            restarting -> false;
            _ -> true
        catch exit:_ -> true
        end
    end).

%% The supervisor ends by itself.
gone(Sup, Ref) -> exit_of(Sup), down(Ref).

stop(Sup) ->
    Ref = oracle:watch(Sup),
    line([stop]),
    unlink(Sup),
    exit(Sup, shutdown),
    down(Ref).

%% ---- restarts -------------------------------------------------------------------------------------

restart(Strategy, Type, How) ->
    Sup = start(flags(Strategy), [child(a), child(b, #{restart => Type}), child(c)]),
    finish(Sup, b, How),
    which(Sup), count(Sup), nothing().

start_fails(Begin, Position) ->
    Children = [child(Id, #{}, case N of Position -> #{init => Begin}; _ -> #{} end)
                || {N, Id} <- [{1, a}, {2, b}, {3, c}]],
    {error, Why} = supervisor:start_link({local, named}, ?MODULE, {flags(one_for_one), Children}),
    %% Whether a caller that traps sees an EXIT differs between releases; not here.
    receive {'EXIT', _, _} -> ok after 0 -> ok end,
    line([start, failed, {reason, Why}]),
    line([whereis, case whereis(named) of undefined -> none; Pid -> Pid end]),
    nothing().

start_ignored(Type) ->
    Sup = start(flags(one_for_one), [child(a), child(b, #{restart => Type}, #{init => ignore}), child(c)]),
    which(Sup), count(Sup), stop(Sup), nothing().

start_child_fails(Begin, Type) ->
    Sup = start(flags(one_for_one), [child(a)]),
    answer(start_child, supervisor:start_child(Sup, child(b, #{restart => Type}, #{init => Begin}))),
    which(Sup), count(Sup), nothing().

answer(Op, {ok, Pid}) when is_pid(Pid) -> line([Op, ok, Pid]);
answer(Op, {ok, undefined}) -> line([Op, ignored]);
answer(Op, {ok, Spec}) when is_map(Spec) -> line([Op, ok, maps:get(id, Spec), maps:get(restart, Spec, permanent)]);
answer(Op, ok) -> line([Op, ok]);
answer(Op, {error, {already_started, Pid}}) -> line([Op, error, already_started, Pid]);
answer(Op, {error, Known}) when Known =:= already_present; Known =:= running; Known =:= restarting; Known =:= not_found ->
    line([Op, error, Known]);
answer(Op, {error, {Why, Spec}}) when element(1, Spec) =:= child -> line([Op, failed, {reason, Why}]);
answer(Op, {error, Why}) -> line([Op, failed, {reason, Why}]).

shutdown(How, Shutdown, Plan) ->
    Sup = start(flags(one_for_one), [child(a, #{shutdown => Shutdown}, maps:merge(#{trap => false}, Plan))]),
    Child = pid(Sup, a),
    Ref = oracle:watch(Child),
    case How of
        stop ->
            SupRef = oracle:watch(Sup), unlink(Sup), exit(Sup, shutdown), down(Ref), down(SupRef);
        terminate_child ->
            Answer = supervisor:terminate_child(Sup, a), down(Ref), answer(terminate_child, Answer), which(Sup)
    end,
    nothing().

stop_order(Strategy) ->
    Sup = start(flags(Strategy), [child(Id) || Id <- [a, b, c, d]]),
    stop(Sup), nothing().

%% ---- auto shutdown ----------------------------------------------------------------------------------

auto(Auto, Type, Ends) ->
    Significant = #{restart => Type, significant => true},
    Sup = start((flags(one_for_one))#{auto_shutdown => Auto}, [child(a), child(b, Significant), child(c, Significant)]),
    Ref = oracle:watch(Sup),
    [finish(Sup, Id, How) || {Id, How} <- lists:zip(lists:sublist([b, c], length(Ends)), Ends)],
    outcome(Sup, Ref).

auto_other(Auto, How) ->
    Sup = start((flags(one_for_one))#{auto_shutdown => Auto},
                [child(a, #{restart => temporary}), child(b, #{restart => temporary, significant => true})]),
    Ref = oracle:watch(Sup),
    finish(Sup, a, How),
    outcome(Sup, Ref).

%% Tells whether the supervisor lives on. One that is about to end has decided so by now.
outcome(Sup, Ref) ->
    try which(Sup) catch exit:_ -> gone(Sup, Ref) end,
    nothing().

significant_refused(Auto, Type) ->
    Result = supervisor:start_link(?MODULE, {(flags(one_for_one))#{auto_shutdown => Auto},
                                             [child(a, #{restart => Type, significant => true})]}),
    case Result of
        {ok, _} -> line([start, ok]);
        {error, _} -> receive {'EXIT', _, _} -> ok after 0 -> ok end, line([start, refused])
    end,
    nothing().

significant_bystander(Strategy, Type) ->
    Sup = start((flags(Strategy))#{auto_shutdown => any_significant},
                [child(a), child(b, #{restart => Type, significant => true})]),
    Ref = oracle:watch(Sup),
    finish(Sup, a, boom),
    outcome(Sup, Ref).

bystander(Strategy, Type) ->
    Sup = start(flags(Strategy), [child(a), child(b, #{restart => Type}), child(c)]),
    finish(Sup, a, boom), which(Sup), nothing().

%% ---- intensity --------------------------------------------------------------------------------------

intensity(Strategy, N) ->
    Sup = start((flags(Strategy))#{intensity => N}, [child(a), child(b), child(c)]),
    Ref = oracle:watch(Sup),
    [begin finish(Sup, b, boom), which(Sup) end || _ <- lists:seq(1, N)],
    finish(Sup, b, boom), gone(Sup, Ref), nothing().

intensity_over_all(Strategy) ->
    Sup = start((flags(Strategy))#{intensity => 2}, [child(a), child(b), child(c)]),
    Ref = oracle:watch(Sup),
    finish(Sup, a, boom), finish(Sup, c, boom), finish(Sup, b, boom), gone(Sup, Ref), nothing().

%% The start after the first one fails so many times; three restarts are allowed.
restart_fails(Strategy, Times, Begin) ->
    Counter = counters:new(1, []),
    Plan = #{init => {script, Counter, fun(N) when N > 1, N < 2 + Times -> Begin; (_) -> ok end}},
    Sup = start((flags(Strategy))#{intensity => 3}, [child(a), child(b, #{}, Plan), child(c)]),
    Ref = oracle:watch(Sup),
    finish(Sup, b, boom),
    outcome(Sup, Ref).

restart_ignored(Strategy, Type) ->
    Counter = counters:new(1, []),
    Plan = #{init => {script, Counter, fun(2) -> ignore; (_) -> ok end}},
    Sup = start(flags(Strategy), [child(a), child(b, #{restart => Type}, Plan), child(c)]),
    finish(Sup, b, boom), which(Sup), count(Sup),
    answer(restart_child, supervisor:restart_child(Sup, b)), nothing().

another_fails(Strategy) ->
    Counter = counters:new(1, []),
    Plan = #{init => {script, Counter, fun(2) -> {stop, boom}; (_) -> ok end}},
    Sup = start((flags(Strategy))#{intensity => 3}, [child(a), child(b), child(c, #{}, Plan), child(d)]),
    Pid = pid(Sup, b), D = pid(Sup, d),
    line(['end', b, Pid]), oracle_worker:stop(Pid, boom),
    dealt_with(Sup, d, D),
    which(Sup), nothing().

%% ---- administration ---------------------------------------------------------------------------------

admin(Op, State) ->
    Counter = counters:new(1, []),
    %% While it is restarting, how often it is tried is not fixed: no lines of b then.
    Plan = case State of
        restarting -> #{quiet => true, init => {script, Counter, fun(1) -> ok; (_) -> {stop, boom} end}};
        _ -> #{}
    end,
    Sup = start((flags(one_for_one))#{intensity => 100000000}, [child(a), child(b, #{}, Plan), child(c)]),
    Id = case State of unknown -> x; _ -> b end,
    case State of
        stopped -> ok = supervisor:terminate_child(Sup, b);
        restarting -> oracle_worker:stop(pid(Sup, b), boom), until(fun() -> pid(Sup, b) =:= restarting end);
        _ -> ok
    end,
    which(Sup),
    answer(Op, case Op of
        start_child -> supervisor:start_child(Sup, child(Id));
        _ -> supervisor:Op(Sup, Id)
    end),
    which(Sup), count(Sup), nothing().

%% ---- the rest -----------------------------------------------------------------------------------------

singles() ->
    [{"start_without_children", fun() -> Sup = start(flags(one_for_one), []), which(Sup), count(Sup), stop(Sup), nothing() end},
     {"start_under_a_taken_name", fun() ->
        {ok, First} = supervisor:start_link({local, named}, ?MODULE, {flags(one_for_one), [child(a)]}),
        {error, {already_started, Pid}} = supervisor:start_link({local, named}, ?MODULE, {flags(one_for_one), [child(b)]}),
        line([already_started, Pid]), line([same, Pid =:= First]), nothing() end},
     {"start_with_two_children_of_one_id_is_refused", fun() ->
        {error, _} = supervisor:start_link(?MODULE, {flags(one_for_one), [child(a), child(b), child(a)]}),
        receive {'EXIT', _, _} -> ok after 0 -> ok end, line([start, refused]), nothing() end},
     {"a_child_already_started_elsewhere_is_an_error", fun() ->
        Other = oracle_worker:start(named, #{label => other}),
        Sup = start(flags(one_for_one), [child(a)]),
        Spec = (child(b))#{start => {oracle_worker, start_link, [named, #{label => b}]}},
        case supervisor:start_child(Sup, Spec) of
            {error, {{already_started, Pid}, _}} -> line([start_child, failed, already_started, Pid]);
            {error, {already_started, Pid}} -> line([start_child, failed, already_started, Pid])
        end,
        which(Sup), oracle_worker:sync(Other), nothing() end},
     {"children_are_added_at_the_end", fun() ->
        Sup = start(flags(rest_for_one), [child(a)]),
        [answer(start_child, supervisor:start_child(Sup, child(Id))) || Id <- [b, c]],
        finish(Sup, b, boom), which(Sup), stop(Sup), nothing() end},
     {"a_stopped_child_is_started_by_a_group_restart", fun() ->
        Sup = start(flags(one_for_all), [child(a), child(b), child(c)]),
        answer(terminate_child, supervisor:terminate_child(Sup, b)), finish(Sup, a, boom), which(Sup), nothing() end},
     {"terminate_child_twice", fun() ->
        Sup = start(flags(one_for_one), [child(a)]),
        answer(terminate_child, supervisor:terminate_child(Sup, a)), answer(terminate_child, supervisor:terminate_child(Sup, a)), nothing() end},
     {"terminate_child_forgets_a_temporary_one", fun() ->
        Sup = start(flags(one_for_one), [child(a, #{restart => temporary}), child(b)]),
        answer(terminate_child, supervisor:terminate_child(Sup, a)), which(Sup),
        answer(restart_child, supervisor:restart_child(Sup, a)), nothing() end},
     {"terminate_child_does_not_count_as_a_restart", fun() ->
        Sup = start((flags(one_for_one))#{intensity => 0}, [child(a), child(b)]),
        [begin answer(terminate_child, supervisor:terminate_child(Sup, a)), answer(restart_child, supervisor:restart_child(Sup, a)) end
         || _ <- [1, 2, 3]], which(Sup), nothing() end},
     {"terminate_child_of_a_significant_one_does_not_count", fun() ->
        Sup = start((flags(one_for_one))#{auto_shutdown => any_significant},
                    [child(a), child(b, #{restart => transient, significant => true})]),
        answer(terminate_child, supervisor:terminate_child(Sup, b)), which(Sup), nothing() end},
     {"terminate_child_of_the_last_significant_one_but_one", fun() ->
        S = #{restart => transient, significant => true},
        Sup = start((flags(one_for_one))#{auto_shutdown => all_significant}, [child(a), child(b, S), child(c, S)]),
        Ref = oracle:watch(Sup),
        answer(terminate_child, supervisor:terminate_child(Sup, b)), finish(Sup, c, normal), outcome(Sup, Ref) end},
     {"life_of_a_child", fun() ->
        Sup = start(flags(one_for_one), []),
        answer(start_child, supervisor:start_child(Sup, child(a))), answer(start_child, supervisor:start_child(Sup, child(a))),
        answer(delete_child, supervisor:delete_child(Sup, a)), answer(restart_child, supervisor:restart_child(Sup, a)),
        answer(terminate_child, supervisor:terminate_child(Sup, a)), answer(start_child, supervisor:start_child(Sup, child(a))),
        answer(restart_child, supervisor:restart_child(Sup, a)), answer(terminate_child, supervisor:terminate_child(Sup, a)),
        answer(delete_child, supervisor:delete_child(Sup, a)), answer(delete_child, supervisor:delete_child(Sup, a)),
        which(Sup), count(Sup), nothing() end},
     {"restart_child_that_fails_keeps_it_stopped", fun() ->
        Counter = counters:new(1, []),
        Sup = start(flags(one_for_one), [child(a, #{}, #{init => {script, Counter, fun(2) -> {stop, boom}; (_) -> ok end}})]),
        answer(terminate_child, supervisor:terminate_child(Sup, a)),
        answer(restart_child, supervisor:restart_child(Sup, a)), which(Sup),
        answer(restart_child, supervisor:restart_child(Sup, a)), which(Sup), nothing() end},
     {"exit_signal_of_a_stranger_is_ignored", fun() ->
        Sup = start(flags(one_for_one), [child(a)]), Other = oracle_worker:start(#{label => other, quiet => true}),
        oracle_worker:within(Other, fun() -> exit(Sup, shutdown) end), which(Sup), nothing() end},
     {"unknown_messages_are_ignored", fun() ->
        Sup = start(flags(one_for_one), [child(a)]), Sup ! hello, which(Sup), nothing() end},
     {"parent_ends_the_supervisor_stops_in_order", fun() -> parent_ends(boom) end},
     {"parent_ends_normally_the_supervisor_stops_too", fun() -> parent_ends(normal) end},
     {"supervisor_is_killed_trapping_children_stop", fun() ->
        Sup = start(flags(one_for_one), [child(a)]), Child = pid(Sup, a), Ref = oracle:watch(Child),
        exit(Sup, kill), down(Ref), exit_of(Sup), nothing() end},
     {"supervisor_is_killed_plain_children_die", fun() ->
        Sup = start(flags(one_for_one), [child(a, #{}, #{trap => false})]), Child = pid(Sup, a), Ref = oracle:watch(Child),
        exit(Sup, kill), down(Ref), exit_of(Sup), nothing() end},
     {"a_child_that_unlinked_itself_is_stopped_too", fun() ->
        Sup = start(flags(one_for_one), [child(a, #{}, #{trap => true})]), Child = pid(Sup, a), Ref = oracle:watch(Child),
        oracle_worker:within(Child, fun() -> unlink(Sup) end), stop_watched(Sup), down(Ref), nothing() end},
     {"several_restarts_below_the_limit", fun() ->
        Sup = start((flags(one_for_one))#{intensity => 5}, [child(a), child(b)]),
        [finish(Sup, Id, boom) || Id <- [a, b, a, b]], which(Sup), nothing() end},
     {"two_children_end_at_once_one_for_all", fun() -> two_end(one_for_all) end},
     {"two_children_end_at_once_rest_for_one", fun() -> two_end(rest_for_one) end},
     {"names_are_free_for_the_successor", fun() ->
        Spec = (child(a))#{start => {oracle_worker, start_link, [named, #{label => a, trap => true}]}},
        Sup = start(flags(one_for_one), [Spec]), finish(Sup, a, boom), line([whereis, whereis(named)]), which(Sup), nothing() end},
     {"names_are_free_for_the_successor_killed", fun() ->
        Spec = (child(a))#{start => {oracle_worker, start_link, [named, #{label => a, trap => true}]}},
        Sup = start(flags(one_for_one), [Spec]), finish(Sup, a, {signal, kill}), line([whereis, whereis(named)]), which(Sup), nothing() end},
     {"tree_stops_from_the_last_leaf", fun() ->
        Sup = start(flags(one_for_one), [child(a), nested(n, [child(b), nested(m, [child(c), child(d)])]), child(e)]),
        count(Sup), stop(Sup), nothing() end},
     {"tree_partial_restart", fun() ->
        Sup = start(flags(one_for_one), [child(a), nested(n, [child(b), child(c)])]), Inner = pid(Sup, n),
        finish(Inner, b, boom), which(Inner), which(Sup), nothing() end},
     {"tree_escalation_restarts_the_inner_supervisor", fun() ->
        Sup = start(flags(one_for_one), [child(a), nested(n, 0, [child(b), child(c)], #{})]), Inner = pid(Sup, n),
        finish(Inner, c, boom), dealt_with(Sup, n, Inner), which(Sup), nothing() end},
     {"tree_escalation_restarts_those_after_it", fun() ->
        Sup = start(flags(rest_for_one), [child(a), nested(n, 0, [child(b)], #{}), child(c)]), Inner = pid(Sup, n),
        finish(Inner, b, boom), dealt_with(Sup, n, Inner), which(Sup), nothing() end},
     {"tree_escalation_to_the_top", fun() ->
        Sup = start((flags(one_for_one))#{intensity => 0}, [child(a), nested(n, 0, [child(b)], #{})]),
        Ref = oracle:watch(Sup), Inner = pid(Sup, n),
        finish(Inner, b, boom), gone(Sup, Ref), nothing() end},
     {"tree_transient_inner_supervisor_is_not_restarted", fun() ->
        Sup = start(flags(one_for_one), [child(a), nested(n, 0, [child(b)], #{restart => transient})]), Inner = pid(Sup, n),
        finish(Inner, b, boom), dealt_with(Sup, n, Inner), which(Sup), nothing() end},
     {"tree_auto_shutdown_of_a_transient_inner_supervisor", fun() ->
        Inside = {(flags(one_for_one))#{auto_shutdown => any_significant}, [child(b, #{restart => transient, significant => true}), child(c)]},
        Spec = #{id => n, type => supervisor, restart => transient, start => {supervisor, start_link, [?MODULE, Inside]}},
        Sup = start(flags(one_for_one), [child(a), Spec]), Inner = pid(Sup, n),
        finish(Inner, b, normal), dealt_with(Sup, n, Inner), which(Sup), count(Sup), nothing() end},
     {"tree_start_fails_deep_inside", fun() ->
        Inside = [child(b), child(c, #{}, #{init => {stop, boom}})],
        {error, Why} = supervisor:start_link(?MODULE, {flags(one_for_one), [child(a), nested(n, Inside), child(d)]}),
        receive {'EXIT', _, _} -> ok after 0 -> ok end, line([start, failed, {reason, Why}]), nothing() end},
     {"counts_of_workers_and_supervisors", fun() ->
        Sup = start(flags(one_for_one), [child(a), child(b, #{restart => temporary}), nested(n, [child(c)])]), count(Sup),
        supervisor:terminate_child(Sup, n), count(Sup), supervisor:terminate_child(Sup, b), count(Sup),
        supervisor:delete_child(Sup, n), count(Sup), nothing() end},
     {"requests_to_a_dead_supervisor", fun() ->
        Sup = start(flags(one_for_one), []), stop(Sup),
        [line([F, try apply(supervisor, F, [Sup | A]) catch exit:Why -> ["error ", oracle:call_error(Why)] end])
         || {F, A} <- [{start_child, [child(a)]}, {terminate_child, [a]}, {restart_child, [a]}, {delete_child, [a]}, {which_children, []}]],
        nothing() end}].

nested(Id, Children) -> nested(Id, 100, Children, #{}).
nested(Id, Intensity, Children, Spec) ->
    maps:merge(#{id => Id, type => supervisor,
                 start => {supervisor, start_link, [?MODULE, {(flags(one_for_one))#{intensity => Intensity}, Children}]}}, Spec).

parent_ends(Reason) ->
    Parent = oracle_worker:start(#{label => parent, quiet => true}),
    {ok, Sup} = oracle_worker:within(Parent, fun() -> supervisor:start_link(?MODULE, {flags(one_for_one), [child(a), child(b)]}) end),
    Ref = oracle:watch(Sup),
    oracle_worker:stop(Parent, Reason), down(Ref), nothing().

%% Without the line: the child's own end comes in between.
stop_watched(Sup) -> unlink(Sup), exit(Sup, shutdown).

%% The second ends while the supervisor deals with the first: it waits in the terminate of c.
two_end(Strategy) ->
    Sup = start(flags(Strategy), [child(a), child(b), child(c)]),
    [A, B, C] = [pid(Sup, Id) || Id <- [a, b, c]],
    oracle_worker:busy(C),
    line(['end', a, A]), oracle_worker:stop(A, boom), until(fun() -> process_info(C, message_queue_len) =:= {message_queue_len, 1} end),
    BRef = oracle:watch(B), line(['end', b, B]), oracle_worker:stop(B, boom), down(BRef),
    oracle_worker:free(C), dealt_with(Sup, a, A),
    which(Sup), nothing().
