%% Counters, atomics, persistent terms: a table of operations and what each gives.
-module(sc_cnt).
-export([scenarios/0]).
-import(oracle, [line/1]).

scenarios() ->
    [{key([counters, Kind, N]), fun() -> counters(Kind, Ops) end} || Kind <- [atomics, write_concurrency], {N, Ops} <- counter_stories()] ++
    [{key([atomics, Signed, N]), fun() -> atomics(Signed, Ops) end} || Signed <- [signed, unsigned], {N, Ops} <- atomic_stories(Signed)] ++
    [{key([persistent_term, N]), fun() -> terms(Ops), clean() end} || {N, Ops} <- term_stories()] ++
    [{key([many_processes_add_up, Kind]), fun() -> many(Kind) end} || Kind <- [atomics, write_concurrency]].

key(Parts) -> lists:join("_", [atom_to_list(P) || P <- Parts]).

max64() -> 16#7fffffffffffffff.
min64() -> -16#8000000000000000.

counter_stories() ->
    [{fresh, [{get, 1}, {get, 3}]}, {add, [{add, 1, 5}, {get, 1}]}, {add_twice, [{add, 1, 5}, {add, 1, 6}, {get, 1}]},
     {sub, [{sub, 1, 5}, {get, 1}]}, {add_negative, [{add, 1, -5}, {get, 1}]}, {put, [{put, 1, 42}, {get, 1}, {put, 1, -42}, {get, 1}]},
     {put_after_add, [{add, 1, 5}, {put, 1, 7}, {add, 1, 1}, {get, 1}]},
     {slots_are_independent, [{add, 1, 1}, {add, 2, 2}, {put, 3, 3}, {get, 1}, {get, 2}, {get, 3}]},
     {wraps_upwards, [{put, 1, max64()}, {add, 1, 1}, {get, 1}]}, {wraps_downwards, [{put, 1, min64()}, {sub, 1, 1}, {get, 1}]},
     {slot_zero, [{get, 0}]}, {slot_beyond, [{get, 4}, {add, 4, 1}, {put, 4, 1}]}, {size, [{size}]}].

counters(Kind, Ops) ->
    Ref = counters:new(3, [Kind]),
    [run(counters, Ref, Op) || Op <- Ops].

run(Module, Ref, {size}) -> line([size, maps:get(size, Module:info(Ref))]);
run(Module, Ref, Op) ->
    [F | Args] = tuple_to_list(Op),
    Result = try apply(Module, F, [Ref | Args]) catch error:badarg -> badarg end,
    line([F | Args] ++ [gives, Result]).

atomic_stories(Signed) ->
    [{fresh, [{get, 1}]}, {put, [{put, 1, 7}, {get, 1}]}, {add_get, [{add_get, 1, 5}, {add_get, 1, 6}]}, {sub_get, [{put, 1, 9}, {sub_get, 1, 4}]},
     {exchange, [{put, 1, 1}, {exchange, 1, 2}, {get, 1}]}, {compare_exchange_holds, [{put, 1, 1}, {compare_exchange, 1, 1, 2}, {get, 1}]},
     {compare_exchange_fails, [{put, 1, 3}, {compare_exchange, 1, 1, 2}, {get, 1}]},
     {slots_are_independent, [{add, 1, 1}, {add, 2, 2}, {get, 1}, {get, 2}, {get, 3}]},
     {slot_zero, [{get, 0}]}, {slot_beyond, [{get, 4}, {add, 4, 1}, {exchange, 4, 1}]}, {size, [{size}]}] ++
    case Signed of
        signed -> [{wraps_upwards, [{put, 1, max64()}, {add_get, 1, 1}]}, {wraps_downwards, [{put, 1, min64()}, {sub_get, 1, 1}]},
                   {negative, [{put, 1, -1}, {get, 1}, {sub_get, 1, 1}]}];
        unsigned -> [{wraps_upwards, [{put, 1, 16#ffffffffffffffff}, {add_get, 1, 1}]}, {wraps_downwards, [{sub_get, 1, 1}]},
                     {large, [{put, 1, 16#ffffffffffffffff}, {get, 1}]}]
    end.

atomics(Signed, Ops) ->
    Ref = atomics:new(3, [{signed, Signed =:= signed}]),
    [run(atomics, Ref, Op) || Op <- Ops].

term_stories() ->
    [{put_and_get, [{put, k, v}, {get, k}]}, {missing, [{get, k}]}, {default, [{get, k, d}, {put, k, v}, {get, k, d}]},
     {put_again, [{put, k, v}, {put, k, w}, {get, k}]}, {put_the_same, [{put, k, v}, {put, k, v}, {get, k}]},
     {erase, [{put, k, v}, {erase, k}, {get, k}]}, {erase_missing, [{erase, k}]}, {erase_twice, [{put, k, v}, {erase, k}, {erase, k}]},
     {keys_are_distinct, [{put, k, v}, {put, l, w}, {get, k}, {get, l}, {erase, k}, {get, l}]}].

%% Under keys of our own.
terms(Ops) ->
    [begin
        [F, K | Args] = tuple_to_list(Op),
        Result = try apply(persistent_term, F, [{?MODULE, K} | Args]) catch error:badarg -> badarg end,
        line([F, K | Args] ++ [gives, Result])
     end || Op <- Ops].

clean() -> [persistent_term:erase({?MODULE, K}) || K <- [k, l]].

many(Kind) ->
    Ref = counters:new(1, [Kind]),
    Refs = [element(2, spawn_monitor(fun() -> [counters:add(Ref, 1, 1) || _ <- lists:seq(1, 100)] end)) || _ <- lists:seq(1, 8)],
    [receive {'DOWN', R, _, _, _} -> ok end || R <- Refs],
    line([get, 1, gives, counters:get(Ref, 1)]).
