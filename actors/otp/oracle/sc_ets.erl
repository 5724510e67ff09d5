%% Tables: the stories of sc_ets.stories, which the twins read, too. Each operation is done by a
%% player, a process which is told what to do and says what came out; a is the owner.
-module(sc_ets).
-export([scenarios/0]).
-import(oracle, [line/1]).

scenarios() ->
    {ok, Text} = file:read_file(filename:join(filename:dirname(source()), "sc_ets.stories")),
    Lines = [L || L <- string:split(binary_to_list(Text), "\n", all), L =/= "", hd(L) =/= $%],
    lists:append([expand(Story) || Story <- stories(Lines)]).

source() -> proplists:get_value(source, ?MODULE:module_info(compile)).

stories([]) -> [];
stories(["## " ++ Header | Lines]) ->
    {Body, Rest} = lists:splitwith(fun(L) -> not lists:prefix("## ", L) end, Lines),
    [Name, Kinds | Options] = [string:lexemes(Part, " ") || Part <- string:split(Header, "|", all)],
    [{hd(Name), Kinds, lists:append(Options), [string:lexemes(L, " ") || L <- Body]} | stories(Rest)].

expand({Name, ["all"], Options, Body}) ->
    expand({Name, ["set", "ordered_set", "bag", "duplicate_bag"], Options, Body});
expand({Name, Kinds, Options, Body}) ->
    [{Name ++ "_" ++ Kind, fun() -> story(Kind, Options, Body) end} || Kind <- Kinds].

%% ---- the players ------------------------------------------------------------------------------

story(Kind, Options, Body) ->
    Players = maps:from_list([{P, spawn_link(fun player/0)} || P <- ["a", "b", "c"]]),
    {ok, Table} = ask("a", Players, fun() -> {ok, ets:new(tab, options(Kind, Options, Players))} end),
    lists:foldl(fun(Line, T) -> act(Line, T, Players) end, Table, Body),
    ok.

options(Kind, Options, Players) ->
    [list_to_atom(Kind) | [option(O, Players) || O <- Options]].

option("heir_" ++ Who, Players) -> {heir, maps:get(Who, Players), from_the_start};
option(Option, _) -> list_to_atom(Option).

player() ->
    receive
        {do, From, Ref, Fun} ->
            From ! {Ref, try Fun() catch error:badarg -> badarg end},
            player();
        {finish, Reason} ->
            unlink_all(),
            exit(Reason)
    end.

unlink_all() ->
    {links, Links} = process_info(self(), links),
    [unlink(L) || L <- Links].

ask(Who, Players, Fun) ->
    Ref = make_ref(),
    maps:get(Who, Players) ! {do, self(), Ref, Fun},
    receive {Ref, Answer} -> Answer after 5000 -> exit({no_answer, Who}) end.

act(["end", Who], Table, Players) -> ended(Who, normal, Table, Players);
act(["crash", Who], Table, Players) -> ended(Who, crash, Table, Players);
act(["kill", Who], Table, Players) -> ended(Who, kill, Table, Players);
act([[Who, $:], Op | Args], Table, Players) ->
    Result = ask([Who], Players, fun() -> text(do(Op, Args, Table, Players), Players) end),
    line([[Who]] ++ [Op | Args] ++ ["gives", result(Result)]),
    case {Op, Result} of
        {"rename", badarg} -> Table;
        {"rename", _} when is_atom(Table) -> list_to_atom(hd(Args));
        _ -> Table
    end;
act(Line, Table, Players) -> act(["a:" | Line], Table, Players).

result(badarg) -> "badarg";
result(Text) -> Text.

ended(Who, How, Table, Players) ->
    Pid = maps:get(Who, Players),
    unlink(Pid),
    Ref = oracle:watch(Pid),
    case How of
        kill -> exit(Pid, kill);
        _ -> Pid ! {finish, How}
    end,
    receive {'DOWN', Ref, _, _, _} -> line([Who, "ended"]) end,
    Table.

%% ---- the operations ---------------------------------------------------------------------------

do("insert", [O], T, _) -> ets:insert(T, object(O));
do("insert_list", Os, T, _) -> ets:insert(T, objects(Os));
do("insert_new", [O], T, _) -> ets:insert_new(T, object(O));
do("insert_new_list", Os, T, _) -> ets:insert_new(T, objects(Os));
do("lookup", [K], T, _) -> {objects, ets:lookup(T, int(K))};
do("member", [K], T, _) -> ets:member(T, int(K));
do("lookup_element", [K, P], T, _) -> {ints, ets:lookup_element(T, int(K), int(P))};
do("delete", [K], T, _) -> ets:delete(T, int(K));
do("delete_object", [O], T, _) -> ets:delete_object(T, object(O));
do("delete_all", [], T, _) -> ets:delete_all_objects(T);
do("delete_table", [], T, _) -> ets:delete(T);
do("take", [K], T, _) -> {objects, ets:take(T, int(K))};
do("list", [], T, _) -> {objects, lists:sort(ets:tab2list(T))};
do("first", [], T, _) -> {key, ets:first(T)};
do("last", [], T, _) -> {key, ets:last(T)};
do("next", [K], T, _) -> {key, ets:next(T, int(K))};
do("prev", [K], T, _) -> {key, ets:prev(T, int(K))};
do("fix", [], T, _) -> ets:safe_fixtable(T, true);
do("unfix", [], T, _) -> ets:safe_fixtable(T, false);
do("walk", [], T, _) -> {objects, [{K} || K <- lists:sort(walk(T, ets:first(T)))]};
do("walk_and_delete", [], T, _) ->
    ets:safe_fixtable(T, true),
    Keys = delete_walk(T, ets:first(T)),
    ets:safe_fixtable(T, false),
    {objects, [{K} || K <- lists:sort(Keys)]};
do("update_counter", [K | Ops], T, _) -> {ints, ets:update_counter(T, int(K), [ints(Op) || Op <- Ops])};
do("update_counter_default", [K, D | Ops], T, _) ->
    {ints, ets:update_counter(T, int(K), [ints(Op) || Op <- Ops], object(D))};
do("update_element", [K | Ops], T, _) -> ets:update_element(T, int(K), [ints(Op) || Op <- Ops]);
do("select", Range, T, _) -> {objects, in_order(T, ets:select(T, spec(Range, '$_')))};
do("select_reverse", Range, T, _) -> {objects, in_order(T, ets:select_reverse(T, spec(Range, '$_')))};
do("select_count", Range, T, _) -> ets:select_count(T, spec(Range, true));
do("select_delete", Range, T, _) -> ets:select_delete(T, spec(Range, true));
do("select_replace", [Low, High, Add], T, _) -> ets:select_replace(T, spec([Low, High], {{'$1', {'+', '$2', int(Add)}}}));
do("select_value", [V], T, _) -> {objects, in_order(T, ets:match_object(T, {'_', int(V)}))};
do("match_delete", [V], T, _) -> ets:match_delete(T, {'_', int(V)});
do("chunks", [Low, High, Limit], T, _) -> chunks(T, ets:select(T, spec([Low, High], '$_'), int(Limit)));
do("chunks_reverse", [Low, High, Limit], T, _) ->
    chunks(T, ets:select_reverse(T, spec([Low, High], '$_'), int(Limit)));
do("foldl", [], T, _) -> {ints, order(T, ets:foldl(fun(O, L) -> L ++ [element(1, O)] end, [], T))};
do("foldr", [], T, _) -> {ints, order(T, ets:foldr(fun(O, L) -> L ++ [element(1, O)] end, [], T))};
do("rename", [Name], T, _) -> ets:rename(T, list_to_atom(Name)), true;
do("whereis", [Name], _, _) -> case ets:whereis(list_to_atom(Name)) of undefined -> undefined; _ -> found end;
do("new_named", [Name], _, _) -> ets:new(list_to_atom(Name), [named_table]), true;
do("info", ["fixed_by"], T, _) ->
    case ets:info(T, safe_fixed) of
        {_, Holders} -> {holders, Holders};
        Other -> Other
    end;
do("info", [What], T, _) -> ets:info(T, list_to_atom(What));
do("set_heir", ["none"], T, _) -> ets:setopts(T, {heir, none});
do("set_heir", [Who, Data], T, Ps) -> ets:setopts(T, {heir, maps:get(Who, Ps), list_to_atom(Data)});
do("set_protection", [P], T, _) -> ets:setopts(T, {protection, list_to_atom(P)});
do("give_away", [Who, Data], T, Ps) -> ets:give_away(T, maps:get(Who, Ps), list_to_atom(Data));
do("transfer", [], _, _) -> receive {'ETS-TRANSFER', _, From, Data} -> {transfer, From, Data} after 5000 -> nothing end;
do("nothing", [], _, _) -> receive {'ETS-TRANSFER', _, _, _} -> something after 0 -> nothing end.

walk(_, '$end_of_table') -> [];
walk(T, K) -> [K | walk(T, ets:next(T, K))].

delete_walk(_, '$end_of_table') -> [];
delete_walk(T, K) ->
    ets:delete(T, K),
    [K | delete_walk(T, ets:next(T, K))].

chunks(T, First) -> {chunks, chunks_of(T, First, ets:info(T, type))}.

chunks_of(_, '$end_of_table', _) -> [];
chunks_of(T, {Found, More}, ordered_set) -> [Found | chunks_of(T, ets:select(More), ordered_set)];
%% In the others all that can be told is what was found in the end.
chunks_of(T, First, _) -> [lists:sort(lists:append(chunks_of(T, First, ordered_set)))].

spec([], Result) -> [{{'$1', '$2'}, [], [Result]}];
spec([Key], Result) -> [{{int(Key), '$2'}, [], [Result]}];
spec([Low, High], Result) -> [{{'$1', '$2'}, [{'>=', '$1', int(Low)}, {'=<', '$1', int(High)}], [Result]}].

in_order(T, Found) ->
    case ets:info(T, type) of ordered_set -> Found; _ -> lists:sort(Found) end.

order(T, Found) -> in_order(T, Found).

int(Text) -> list_to_integer(Text).
ints(Text) -> list_to_tuple([int(Part) || Part <- string:lexemes(Text, ",")]).
object(Text) -> list_to_tuple([int(Part) || Part <- string:lexemes(Text, ":")]).
objects(Texts) -> [object(Text) || Text <- Texts].

%% ---- what came out, as text -------------------------------------------------------------------

text({objects, []}, _) -> "none";
text({objects, Objects}, _) -> join([one(O) || O <- Objects]);
text({chunks, Chunks}, _) -> "[" ++ lists:flatten(lists:join("] [", [join([one(O) || O <- C]) || C <- Chunks])) ++ "]";
text({ints, []}, _) -> "none";
text({ints, Ints}, _) when is_list(Ints) -> join([integer_to_list(I) || I <- Ints]);
text({ints, Int}, _) -> integer_to_list(Int);
text({key, '$end_of_table'}, _) -> "end";
text({key, Key}, _) -> integer_to_list(Key);
text({holders, Holders}, Players) ->
    join(lists:sort([who(P, Players) ++ " " ++ integer_to_list(N) || {P, N} <- Holders]));
text({transfer, From, Data}, Players) -> "from " ++ who(From, Players) ++ " " ++ atom_to_list(Data);
text(Pid, Players) when is_pid(Pid) -> who(Pid, Players);
text(Number, _) when is_integer(Number) -> integer_to_list(Number);
text(Atom, _) when is_atom(Atom) -> atom_to_list(Atom).

who(Pid, Players) -> hd([Who || {Who, P} <- maps:to_list(Players), P =:= Pid]).

one(Object) -> lists:flatten(lists:join(":", [integer_to_list(I) || I <- tuple_to_list(Object)])).
join(Texts) -> lists:flatten(lists:join(" ", Texts)).
