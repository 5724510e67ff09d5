%% Processes: exit signals, links, monitors, names, timers, aliases.
-module(sc_proc).
-export([scenarios/0]).
-import(oracle, [line/1, down/1, exit_of/1, msg/0, nothing/0, alive_or_down/2, until/1, reasons/0]).

scenarios() ->
    [{key([exit_other, N, trap(T)]), fun() -> exit_other(R, T) end} || {N, R} <- reasons(), T <- [false, true]] ++
    [{key([exit_self, N, trap(T)]), fun() -> exit_self(R, T) end} || {N, R} <- reasons(), T <- [false, true]] ++
    [{key([link_peer, N, trap(T)]), fun() -> link_peer(R, T) end} || {N, R} <- ends(), T <- [false, true]] ++
    [{key([monitor_end, N]), fun() -> monitor_end(R) end} || {N, R} <- ends()] ++
    [{key([chain, N, L]), fun() -> chain(R, L) end}
     || {N, R} <- [{signal_kill, {signal, kill}}, {own_kill, kill}, {custom, boom}, {shutdown, shutdown}, {crash, crash}],
        L <- [1, 2, 4]] ++
    [{key([alias, Mode, Event]), fun() -> alias(Mode, Event) end}
     || Mode <- [explicit_unalias, demonitor, reply_demonitor], Event <- [demonitored, down, reply, unalias]] ++
    [{key([spawn_request, N]), fun() -> asynchronous(O, R) end}
     || {N, O, R} <- [{monitor_normal, [monitor], normal}, {monitor_custom, [monitor], boom},
                      {link_normal, [link], normal}, {link_custom, [link], boom},
                      {monitor_link_custom, [monitor, link], boom}, {no_reply, [monitor, {reply, no}], boom},
                      {reply_error_only, [monitor, {reply, error_only}], boom},
                      {reply_success_only, [monitor, {reply, success_only}], boom}]] ++
    [{N, F} || {N, F} <- singles()].

ends() ->
    [{N, R} || {N, R} <- reasons()] ++ [{crash, crash}, {signal_kill, {signal, kill}}, {signal_custom, {signal, boom}}].

trap(true) -> trapping;
trap(false) -> plain.

key(Parts) -> lists:join("_", [case P of _ when is_integer(P) -> integer_to_list(P); _ -> atom_to_list(P) end || P <- Parts]).

worker(Label) -> worker(Label, false).
worker(Label, Trap) -> oracle_worker:start(#{label => Label, trap => Trap, quiet => true}).

watched(Label, Trap) ->
    Worker = worker(Label, Trap),
    {Worker, oracle:watch(Worker)}.

%% ---- 3.2: how an exit signal acts on its receiver -------------------------------------------------

exit_other(Reason, Trap) ->
    {Target, Ref} = watched(target, Trap),
    exit(Target, Reason),
    alive_or_down(Target, Ref),
    nothing().

exit_self(Reason, Trap) ->
    %% No gen_server: one without a parent takes itself for its parent.
    Me = self(),
    {Target, Ref} = spawn_monitor(fun() ->
        process_flag(trap_exit, Trap),
        exit(self(), Reason),
        Me ! lived_on,
        bare(target)
    end),
    receive lived_on -> ok; {'DOWN', Ref, _, _, _} = Down -> self() ! Down end,
    alive_or_down(Target, Ref),
    nothing().

bare(Label) ->
    receive
        {'EXIT', From, Why} -> line([info, Label, exit, From, {reason, Why}]), bare(Label);
        {ping, From, Tag} -> From ! {pong, Tag}, bare(Label)
    end.

link_peer(How, Trap) ->
    {Target, Ref} = watched(target, Trap),
    Peer = worker(peer),
    oracle_worker:within(Target, fun() -> link(Peer) end),
    oracle_worker:finish(Peer, How),
    %% The link is gone when its end has been received.
    until(fun() -> process_info(Target, links) =/= {links, [Peer]} end),
    alive_or_down(Target, Ref),
    nothing().

monitor_end(How) ->
    {Target, Ref} = watched(target, false),
    oracle_worker:finish(Target, How),
    down(Ref),
    nothing().

%% The first of Length linked processes ends; the driver, which traps, is linked to the last.
chain(How, Length) ->
    First = worker(first),
    Last = lists:foldl(fun(_, Previous) ->
        Next = worker(next),
        oracle_worker:within(Next, fun() -> link(Previous) end),
        Next
    end, First, lists:seq(2, Length)),
    link(Last),
    oracle_worker:finish(First, How),
    exit_of(Last),
    nothing().

%% ---- aliases --------------------------------------------------------------------------------------

alias(Mode, Event) ->
    Target = worker(target),
    Alias = monitor(process, Target, [{alias, Mode}]),
    case Event of
        demonitored -> demonitor(Alias);
        down -> oracle_worker:stop(Target, boom), down(Alias);
        reply -> Alias ! first, line([message, receive first -> first end]);
        unalias -> line([unalias, unalias(Alias)])
    end,
    Alias ! second,
    self() ! marker,
    line([message, receive second -> second; marker -> none end]),
    receive marker -> ok after 0 -> ok end,
    Event =:= down orelse line([demonitor, demonitor(Alias, [info])]),
    nothing().

%% ---- asynchronous spawn ---------------------------------------------------------------------------

asynchronous(Options, Reason) ->
    Id = erlang:spawn_request(fun() -> exit(Reason) end, Options),
    case lists:keyfind(reply, 1, Options) of
        {reply, R} when R =:= no; R =:= error_only -> ok;
        _ -> receive {spawn_reply, Id, ok, Pid} -> line([spawn_reply, ok, Pid]); Other -> line([Other]) end
    end,
    %% The same process sends both, first to those linked or first to those who watch: not fixed.
    lists:member(link, Options) andalso receive {'EXIT', P, W} -> line([exit, P, {reason, W}]) end,
    lists:member(monitor, Options) andalso receive {'DOWN', Id, _, P2, W2} -> line([down, P2, {reason, W2}]) end,
    nothing().

%% ---- the rest ---------------------------------------------------------------------------------------

singles() ->
    [{"link_to_a_dead_process_trapping", fun() -> link_dead(true) end},
     {"link_to_a_dead_process_plain", fun() -> link_dead(false) end},
     {"link_twice_gives_one_exit", fun() ->
        Peer = worker(peer), link(Peer), link(Peer),
        oracle_worker:stop(Peer, boom), exit_of(Peer), barrier(), nothing() end},
     {"link_from_both_sides_is_one_link", fun() ->
        Peer = worker(peer), Me = self(), link(Peer), oracle_worker:within(Peer, fun() -> link(Me) end),
        oracle_worker:stop(Peer, boom), exit_of(Peer), barrier(), nothing() end},
     {"unlink_after_two_links_removes_both", fun() ->
        {Peer, Ref} = watched(peer, false), link(Peer), link(Peer), unlink(Peer),
        oracle_worker:stop(Peer, boom), down(Ref), nothing() end},
     {"link_to_self_is_nothing", fun() ->
        {Target, Ref} = watched(target, true),
        oracle_worker:within(Target, fun() -> link(self()) end),
        line([links, length(element(2, process_info(Target, links)))]),
        oracle_worker:stop(Target, boom), down(Ref), nothing() end},
     {"unlink_stops_the_exit", fun() ->
        {Peer, Ref} = watched(peer, false), link(Peer), unlink(Peer),
        oracle_worker:stop(Peer, boom), down(Ref), nothing() end},
     {"unlink_by_the_other_side", fun() ->
        {Peer, Ref} = watched(peer, false), Me = self(), link(Peer),
        oracle_worker:within(Peer, fun() -> unlink(Me) end),
        oracle_worker:stop(Peer, boom), down(Ref), nothing() end},
     {"unlink_of_a_stranger_is_nothing", fun() ->
        {Peer, Ref} = watched(peer, false), unlink(Peer), alive_or_down(Peer, Ref), nothing() end},
     {"link_again_after_unlink", fun() ->
        Peer = worker(peer), link(Peer), unlink(Peer), link(Peer),
        oracle_worker:stop(Peer, boom), exit_of(Peer), nothing() end},
     {"links_are_seen_on_both_sides", fun() ->
        A = worker(a), B = worker(b), oracle_worker:within(A, fun() -> link(B) end),
        line([a, links, links_of(A, B)]), line([b, links, links_of(B, A)]),
        oracle_worker:within(B, fun() -> unlink(A) end),
        until(fun() -> links_of(A, B) =:= 0 end),
        line([a, links, links_of(A, B)]), line([b, links, links_of(B, A)]) end},
     {"a_link_works_both_ways_first_ends", fun() -> both_ways(true) end},
     {"a_link_works_both_ways_second_ends", fun() -> both_ways(false) end},
     {"a_chain_stops_at_one_that_traps", fun() ->
        First = worker(first), {Middle, Ref} = watched(middle, true), {Last, Ref2} = watched(last, false),
        oracle_worker:within(Middle, fun() -> link(First), link(Last) end),
        oracle_worker:stop(First, boom), oracle:await([info, middle], 1),
        alive_or_down(Middle, Ref), alive_or_down(Last, Ref2), nothing() end},
     {"a_chain_stops_at_a_normal_end", fun() ->
        First = worker(first), {Middle, Ref} = watched(middle, false), {Last, Ref2} = watched(last, false),
        oracle_worker:within(Middle, fun() -> link(First), link(Last) end),
        oracle_worker:stop(First, normal), until(fun() -> links_of(Middle, First) =:= 0 end),
        alive_or_down(Middle, Ref), alive_or_down(Last, Ref2), nothing() end},
     {"trap_exit_may_be_switched_on_later", fun() ->
        {Target, Ref} = watched(target, false),
        line([was, oracle_worker:within(Target, fun() -> process_flag(trap_exit, true) end)]),
        exit(Target, boom), alive_or_down(Target, Ref), nothing() end},
     {"trap_exit_may_be_switched_off_later", fun() ->
        {Target, Ref} = watched(target, true),
        line([was, oracle_worker:within(Target, fun() -> process_flag(trap_exit, false) end)]),
        exit(Target, boom), alive_or_down(Target, Ref), nothing() end},

     {"exit_twice_the_first_counts", fun() -> two_exits(first, second) end},
     {"exit_then_kill_the_first_counts", fun() -> two_exits(first, kill) end},
     {"kill_then_exit_the_first_counts", fun() -> two_exits(kill, second) end},
     {"normal_then_exit_the_second_counts", fun() -> two_exits(normal, second) end},
     {"exit_of_a_dead_process_is_nothing", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:stop(Target, normal), down(Ref),
        exit(Target, boom), nothing() end},
     {"message_to_a_dead_process_is_nothing", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:stop(Target, normal), down(Ref),
        Target ! hello, nothing() end},
     {"exit_hits_a_process_that_is_busy", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:busy(Target),
        exit(Target, boom), down(Ref), nothing() end},
     {"kill_hits_a_busy_process_that_traps", fun() ->
        {Target, Ref} = watched(target, true), oracle_worker:busy(Target),
        exit(Target, kill), down(Ref), nothing() end},

     {"messages_keep_their_order", fun() ->
        Target = worker(target), [oracle_worker:note(Target, N) || N <- lists:seq(1, 5)],
        oracle_worker:sync(Target) end},
     {"messages_and_exits_keep_their_order_trapping", fun() ->
        {Target, Ref} = watched(target, true), oracle_worker:busy(Target),
        oracle_worker:note(Target, m1), exit(Target, first), oracle_worker:note(Target, m2),
        exit(Target, second), oracle_worker:note(Target, m3), oracle_worker:free(Target),
        alive_or_down(Target, Ref), nothing() end},
     {"nothing_behind_an_exit_is_handled", fun() ->
        {Target, Ref} = watched(target, false), exit(Target, boom), oracle_worker:note(Target, late),
        down(Ref), nothing() end},
     {"queued_messages_are_lost_with_an_exit", fun() -> queued_lost(boom, false) end},
     {"queued_messages_are_lost_with_a_kill", fun() -> queued_lost(kill, true) end},
     {"messages_come_before_down", fun() ->
        {Target, _} = watched(target, false), Me = self(),
        oracle_worker:cast(Target, fun(S) -> [Me ! N || N <- [m1, m2, m3]], {stop, normal, S} end),
        msg(), msg(), msg(), msg(), nothing() end},
     {"messages_come_before_exit", fun() ->
        Target = worker(target), link(Target), Me = self(),
        oracle_worker:cast(Target, fun(S) -> [Me ! N || N <- [m1, m2, m3]], {stop, boom, S} end),
        msg(), msg(), msg(), msg(), nothing() end},

     {"monitor_of_a_dead_process", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:stop(Target, boom), down(Ref),
        down(oracle:watch(Target)), nothing() end},
     {"monitor_twice_gives_two_downs", fun() ->
        Target = worker(target), R1 = oracle:watch(Target), R2 = oracle:watch(Target),
        oracle_worker:stop(Target, boom), down(R1), down(R2), nothing() end},
     {"monitor_is_one_way", fun() ->
        {Watcher, WRef} = watched(watcher, false), {Target, TRef} = watched(target, false),
        oracle_worker:within(Watcher, fun() -> oracle:watch(Target) end),
        oracle_worker:stop(Watcher, boom), down(WRef), alive_or_down(Target, TRef), nothing() end},
     {"monitor_of_self_never_fires", fun() ->
        {Target, Ref} = watched(target, false),
        oracle_worker:within(Target, fun() -> oracle:watch(self()) end),
        alive_or_down(Target, Ref), oracle_worker:stop(Target, boom), down(Ref), nothing() end},
     {"two_watchers_each_get_a_down", fun() ->
        {Target, Ref} = watched(target, false), Watcher = worker(watcher),
        oracle_worker:within(Watcher, fun() -> oracle:watch(Target) end),
        oracle_worker:stop(Target, boom), oracle:await([info, watcher, down], 1), down(Ref), nothing() end},
     {"demonitor_before_the_end", fun() ->
        {Target, Ref} = watched(target, false), Other = oracle:watch(Target),
        line([demonitor, demonitor(Ref, [info])]),
        oracle_worker:stop(Target, boom), down(Other), nothing() end},
     {"demonitor_one_of_two", fun() ->
        Target = worker(target), R1 = oracle:watch(Target), R2 = oracle:watch(Target),
        line([demonitor, demonitor(R1, [info])]), oracle_worker:stop(Target, boom), down(R2), nothing() end},
     {"demonitor_twice_is_harmless", fun() ->
        {Target, Ref} = watched(target, false),
        line([demonitor, demonitor(Ref, [info])]), line([demonitor, demonitor(Ref, [info])]),
        oracle_worker:stop(Target, boom), until(fun() -> not is_process_alive(Target) end), nothing() end},
     {"demonitor_keeps_a_down_that_arrived", fun() -> demonitor_arrived([info]) end},
     {"demonitor_flush_drops_a_down_that_arrived", fun() -> demonitor_arrived([info, flush]) end},
     {"demonitor_flush_spares_other_downs", fun() ->
        Target = worker(target), R1 = oracle:watch(Target), R2 = oracle:watch(Target),
        {Other, R3} = watched(other, false),
        oracle_worker:stop(Target, boom), oracle_worker:stop(Other, normal), queue(3),
        demonitor(R1, [flush]), down(R2), down(R3), nothing() end},
     {"demonitor_after_down", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:stop(Target, boom), down(Ref),
        line([demonitor, demonitor(Ref, [info])]), nothing() end},
     {"demonitor_by_another_process", fun() ->
        {Target, Ref} = watched(target, false), Other = worker(other),
        oracle_worker:within(Other, fun() -> catch demonitor(Ref) end),
        oracle_worker:stop(Target, boom), down(Ref), nothing() end},
     {"monitor_and_link_both_fire", fun() ->
        {Target, Ref} = watched(target, false), link(Target),
        oracle_worker:stop(Target, boom), exit_of(Target), down(Ref), nothing() end},
     {"the_watcher_ends_first", fun() ->
        {Watcher, WRef} = watched(watcher, false), {Target, TRef} = watched(target, false),
        oracle_worker:within(Watcher, fun() -> oracle:watch(Target) end),
        oracle_worker:stop(Watcher, normal), down(WRef), oracle_worker:stop(Target, boom), down(TRef),
        nothing() end},
     {"killing_what_one_watches_and_ending", fun() ->
        {Watcher, WRef} = watched(watcher, false), {Target, TRef} = watched(target, false),
        oracle_worker:within(Target, fun() -> oracle:watch(Watcher) end),
        oracle_worker:cast(Watcher, fun(S) -> exit(Target, kill), {stop, normal, S} end),
        down(TRef), down(WRef), nothing() end},

     {"name_is_found", fun() ->
        Pid = oracle_worker:start(named, #{label => target}), line([whereis, whereis(named)]),
        oracle_worker:sync(Pid) end},
     {"name_unknown", fun() -> line([whereis, where(nobody)]) end},
     {"name_is_taken", fun() ->
        oracle_worker:start(named, #{label => first}),
        {error, {already_started, Pid}} = gen_server:start({local, named}, oracle_worker, #{label => second}, []),
        line([already_started, Pid]), line([whereis, whereis(named)]) end},
     {"name_is_free_before_down", fun() ->
        Pid = oracle_worker:start(named, #{label => target}), Ref = oracle:watch(Pid),
        oracle_worker:stop(Pid, boom), down(Ref), line([whereis, where(named)]) end},
     {"name_is_free_before_down_killed", fun() ->
        Pid = oracle_worker:start(named, #{label => target}), Ref = oracle:watch(Pid),
        exit(Pid, kill), down(Ref), line([whereis, where(named)]) end},
     {"name_is_free_before_exit", fun() ->
        Pid = oracle_worker:start(named, #{label => target}), link(Pid),
        oracle_worker:stop(Pid, boom), exit_of(Pid), line([whereis, where(named)]) end},
     {"name_can_be_taken_again_after_down", fun() ->
        Pid = oracle_worker:start(named, #{label => first}), Ref = oracle:watch(Pid),
        oracle_worker:stop(Pid, boom), down(Ref),
        New = oracle_worker:start(named, #{label => second}), line([whereis, whereis(named)]),
        oracle_worker:sync(New) end},
     {"name_stays_while_terminate_runs", fun() ->
        Pid = oracle_worker:start(named, #{label => target, terminate => hang}), Ref = oracle:watch(Pid),
        oracle_worker:stop(Pid, normal), oracle:await([terminate], 1), line([whereis, where(named)]),
        exit(Pid, kill), down(Ref), line([whereis, where(named)]) end},
     {"register_a_second_process_is_refused", fun() ->
        First = worker(first), Second = worker(second), line([register, First, reg(named, First)]),
        line([register, Second, reg(named, Second)]), line([whereis, where(named)]) end},
     {"register_a_second_name_is_refused", fun() ->
        First = worker(first), line([register, First, reg(named, First)]), line([register, First, reg(other, First)]),
        line([whereis, where(other)]) end},
     {"register_a_dead_process_is_refused", fun() ->
        {Target, Ref} = watched(target, false), oracle_worker:stop(Target, normal), down(Ref),
        line([register, Target, reg(named, Target)]), line([whereis, where(named)]) end},
     {"unregister_frees_the_name", fun() ->
        First = worker(first), reg(named, First), unregister(named), line([whereis, where(named)]),
        Second = worker(second), line([register, Second, reg(named, Second)]), line([whereis, where(named)]) end},

     {"timer_fires", fun() ->
        Target = worker(target), after_in(Target, 1, t1), oracle:await([info, target, t1], 1) end},
     {"timer_of_zero_fires", fun() ->
        Target = worker(target), after_in(Target, 0, t1), oracle:await([info, target, t1], 1) end},
     {"timers_fire_in_order_of_time", fun() ->
        Target = worker(target), after_in(Target, 20, t2), after_in(Target, 1, t1),
        oracle:await([info, target, t2], 1) end},
     {"timer_cancelled_in_time", fun() ->
        Target = worker(target), Timer = after_in(Target, 60000, t1),
        line([cancel, is_integer(oracle_worker:within(Target, fun() -> erlang:cancel_timer(Timer) end))]),
        after_in(Target, 1, t2), oracle:await([info, target, t2], 1) end},
     {"timer_cancelled_twice", fun() ->
        Target = worker(target), Timer = after_in(Target, 60000, t1),
        Cancel = fun() -> is_integer(oracle_worker:within(Target, fun() -> erlang:cancel_timer(Timer) end)) end,
        line([cancel, Cancel()]), line([cancel, Cancel()]) end},
     {"timer_cancelled_after_it_fired", fun() ->
        Target = worker(target), Timer = after_in(Target, 1, t1), oracle:await([info, target, t1], 1),
        line([cancel, is_integer(oracle_worker:within(Target, fun() -> erlang:cancel_timer(Timer) end))]) end},
     {"timer_of_a_dead_process_is_nothing", fun() ->
        {Target, Ref} = watched(target, false), after_in(Target, 1, t1),
        oracle_worker:stop(Target, normal), down(Ref), nothing() end}].

both_ways(FirstEnds) ->
    {A, RA} = watched(a, false), {B, RB} = watched(b, false),
    oracle_worker:within(A, fun() -> link(B) end),
    case FirstEnds of
        true -> oracle_worker:stop(A, boom);
        false -> oracle_worker:stop(B, boom)
    end,
    down(RA), down(RB), nothing().

link_dead(Trap) ->
    {Dead, DRef} = watched(dead, false), oracle_worker:stop(Dead, boom), down(DRef),
    {Target, Ref} = watched(target, Trap),
    %% Not trapping, link/1 raises noproc in the caller, which is the same end.
    oracle_worker:cast(Target, fun(S) ->
        try link(Dead) of true -> {noreply, S} catch error:noproc -> exit(noproc) end
    end),
    alive_or_down(Target, Ref), nothing().

two_exits(First, Second) ->
    {Target, Ref} = watched(target, false), oracle_worker:busy(Target),
    exit(Target, First), exit(Target, Second), down(Ref), nothing().

queued_lost(Reason, Trap) ->
    {Target, Ref} = watched(target, Trap), oracle_worker:busy(Target),
    oracle_worker:note(Target, m1), oracle_worker:note(Target, m2),
    exit(Target, Reason), down(Ref), nothing().

demonitor_arrived(Options) ->
    {Target, Ref} = watched(target, false), oracle_worker:stop(Target, boom), queue(1),
    line([demonitor, demonitor(Ref, Options)]),
    receive {'DOWN', Ref, process, Pid, Why} -> line([down, Ref, Pid, {reason, Why}]) after 0 -> line([no_down]) end,
    nothing().

%% Waits until so many items are in the driver's mailbox.
queue(Count) -> until(fun() -> process_info(self(), message_queue_len) >= {message_queue_len, Count} end).

links_of(Pid, Peer) ->
    {links, Links} = process_info(Pid, links),
    length([L || L <- Links, L =:= Peer]).

%% Something that came behind the signals sent so far.
barrier() -> Target = worker(barrier), oracle_worker:sync(Target).

where(Name) ->
    case whereis(Name) of undefined -> none; Pid -> Pid end.

reg(Name, Pid) -> try register(Name, Pid) of true -> ok catch error:badarg -> refused end.

after_in(Target, Delay, What) ->
    oracle_worker:within(Target, fun() -> erlang:send_after(Delay, self(), What) end).
