%% Applications: order of start and stop, dependencies, callbacks, ends of the top supervisor.
-module(sc_app).
-behaviour(application).
-export([scenarios/0, start/2, start_phase/3, prep_stop/1, stop/1]).
-import(oracle, [line/1, nothing/0, until/1]).

scenarios() ->
    [{Name, fun() -> try Fun() after clean() end end} || {Name, Fun} <-
    [{key([the_top_supervisor_ends, Type, N]), fun() -> ends(Type, R) end}
     || Type <- [transient, temporary], {N, R} <- [{normal, normal}, {shutdown, shutdown}, {killed, kill}, {custom, boom}],
        %% The end of a transient one for any other reason than normal stops the node.
        Type =:= temporary orelse N =:= normal] ++
    [{key([start_fails, N]), fun() -> load(a, #{fail => R}), ensure_started(a), running(), nothing() end}
     || {N, R} <- [{error, {error, boom}}, {crash, crash}, {exit, exit}]] ++
    singles()].

key(Parts) -> lists:join("_", [atom_to_list(P) || P <- Parts]).

apps() -> [oracle_a, oracle_b, oracle_c, oracle_d].
app(Short) -> list_to_atom("oracle_" ++ atom_to_list(Short)).
short(App) -> list_to_atom(lists:nthtail(7, atom_to_list(App))).

%% An application of one supervisor with one worker.
load(Short) -> load(Short, #{}).
load(Short, Options) ->
    App = app(Short),
    Spec = [{description, ""}, {vsn, "1"}, {modules, []}, {registered, []},
            {applications, [kernel, stdlib | [app(N) || N <- maps:get(needs, Options, [])]]},
            {mod, {?MODULE, {Short, Options}}}, {env, maps:get(env, Options, [])}]
        ++ [{start_phases, Phases} || #{phases := Phases} <- [Options]],
    ok = application:load({application, App, Spec}).

start(_, {Short, Options}) ->
    line([start, Short]),
    case Options of
        #{fail := {error, Why}} -> {error, Why};
        #{fail := crash} -> error(oops);
        #{fail := exit} -> exit(boom);
        _ ->
            Children = [#{id => Id, start => {oracle_worker, start_link, [#{label => Id, trap => true, quiet => maps:get(quiet, Options, false)}]}}
                        || Id <- maps:get(children, Options, [])],
            {ok, Pid} = supervisor:start_link({local, list_to_atom(atom_to_list(Short) ++ "_sup")}, sc_sup, {#{}, Children}),
            {ok, Pid, Short}
    end.

start_phase(Phase, _, _) -> line([phase, Phase]), ok.
prep_stop(Short) -> line([prep_stop, Short]), Short.
stop(Short) -> line([stopped, Short]).

ensure_started(Short) -> line([ensure_started, Short, result(application:ensure_started(app(Short)))]).

result(ok) -> "ok";
result({error, {already_started, App}}) -> ["error already_started ", atom_to_list(short(App))];
result({error, {not_started, App}}) -> ["error not_started ", atom_to_list(short(App))];
result({error, {App, {not_started, App}}}) -> ["error not_started ", atom_to_list(short(App))];
result({error, _}) -> "error".

all(Short) ->
    case application:ensure_all_started(app(Short)) of
        {ok, Started} -> line([ensure_all_started, Short, ok | [short(A) || A <- Started]]);
        {error, {App, _}} -> line([ensure_all_started, Short, error, short(App)])
    end.

stop_app(Short) -> line([stop, Short, result(application:stop(app(Short)))]).

running() -> line([running | lists:sort([short(A) || {A, _, _} <- application:which_applications(), lists:member(A, apps())])]).

clean() ->
    oracle:freeze(),
    [begin application:stop(A), application:unload(A) end || A <- lists:reverse(apps())].

ends(Type, Reason) ->
    load(a), {ok, _} = application:ensure_all_started(app(a), Type), Top = whereis(a_sup),
    line(['end', a]),
    case Reason of
        kill -> exit(Top, kill);
        _ -> sys:terminate(Top, Reason)
    end,
    until(fun() -> not lists:keymember(app(a), 1, application:which_applications()) end),
    oracle:await([stopped], 1),
    running(), nothing().

singles() ->
    [{"ensure_started", fun() -> load(a), ensure_started(a), running() end},
     {"ensure_started_twice", fun() -> load(a), ensure_started(a), ensure_started(a), running() end},
     {"start_twice_is_an_error", fun() ->
        load(a), line([start, result(application:start(app(a)))]), line([start, result(application:start(app(a)))]) end},
     {"start_without_what_it_needs_is_an_error", fun() ->
        load(a), load(b, #{needs => [a]}), line([start, result(application:start(app(b)))]), running() end},
     {"start_with_what_it_needs", fun() ->
        load(a), load(b, #{needs => [a]}), ensure_started(a), ensure_started(b), running() end},
     {"ensure_all_started_in_order", fun() ->
        load(a), load(b, #{needs => [a]}), load(c, #{needs => [b]}), all(c), running() end},
     {"ensure_all_started_twice", fun() -> load(a), load(b, #{needs => [a]}), all(b), all(b), running() end},
     {"ensure_all_started_starts_what_is_missing", fun() ->
        load(a), load(b, #{needs => [a]}), ensure_started(a), all(b), running() end},
     {"ensure_all_started_of_a_diamond", fun() ->
        load(a), load(b, #{needs => [a]}), load(c, #{needs => [a]}), load(d, #{needs => [b, c]}), all(d), running() end},
     {"ensure_all_started_that_fails_stops_what_it_started", fun() ->
        load(a), load(b, #{needs => [a]}), load(c, #{needs => [b], fail => {error, boom}}), all(c), running() end},
     {"ensure_all_started_that_fails_keeps_what_ran_before", fun() ->
        load(a), load(b, #{needs => [a]}), load(c, #{needs => [b], fail => {error, boom}}), ensure_started(a), all(c), running() end},
     {"stop_calls_prep_stop_and_stop_around_the_tree", fun() ->
        load(a, #{children => [x, y]}), ensure_started(a), stop_app(a), running() end},
     {"stop_twice_is_an_error", fun() -> load(a), ensure_started(a), stop_app(a), stop_app(a) end},
     {"start_again_after_stop", fun() -> load(a), ensure_started(a), stop_app(a), ensure_started(a), running(), stop_app(a) end},
     {"stop_spares_what_it_needs", fun() ->
        load(a), load(b, #{needs => [a]}), all(b), stop_app(b), running() end},
     {"stop_spares_what_needs_it", fun() -> load(a), load(b, #{needs => [a]}), all(b), stop_app(a), running() end},
     {"phases_run_in_order_after_the_tree", fun() ->
        load(a, #{children => [x], phases => [{init, []}, {go, []}]}), ensure_started(a), running() end},
     {"many_start_it_at_once_once", fun() ->
        load(a), App = app(a), Me = self(),
        Pids = [spawn_link(fun() -> Me ! {self(), application:ensure_started(App)} end) || _ <- lists:seq(1, 8)],
        [receive {P, R} -> line([ensure_started, a, result(R)]) end || P <- Pids], running() end},
     {"the_environment", fun() ->
        load(a, #{env => [{k, v}]}), App = app(a),
        line([get, element(2, application:get_env(App, k))]), line([default, application:get_env(App, missing, d)]),
        application:set_env(App, k, w), line([get, element(2, application:get_env(App, k))]),
        application:unset_env(App, k), line([get, application:get_env(App, k)]) end},
     {"children_stop_in_reverse_over_the_whole_tree", fun() ->
        load(a, #{children => [x]}), load(b, #{needs => [a], children => [y, z]}), all(b), stop_app(b), stop_app(a), running() end},
     {"too_many_restarts_end_a_temporary_application", fun() ->
        load(a, #{children => [x]}), ensure_started(a),
        [{x, X, _, _}] = supervisor:which_children(a_sup), oracle_worker:stop(X, boom), oracle:await([init, x], 2),
        [{x, Y, _, _}] = supervisor:which_children(a_sup), oracle_worker:stop(Y, boom), oracle:await([stopped], 1),
        until(fun() -> not lists:keymember(app(a), 1, application:which_applications()) end), running() end}].
