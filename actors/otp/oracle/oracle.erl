%% Collector, normaliser and runner of the scenarios; see README.md.
%%
%%   runner ──▶ one fresh process per repetition ──line/1──▶ collector ──▶ the trace
%%
%% line/1 is synchronous: the caller goes on when the line is in the trace, so lines which are
%% causally ordered are ordered in the trace.
-module(oracle).
-export([main/1, line/1, await/2, freeze/0, reason/1, call_error/1]).
-export([watch/1, down/1, exit_of/1, msg/0, nothing/0, alive_or_down/2, until/1, reasons/0, reasons/1, name/1]).

%% ---- the runner -------------------------------------------------------------------------------

%% Options: #{modules, repetitions, out, only}. Ends the VM: 0, or 1 when a scenario is not fit.
main(#{modules := Modules, repetitions := Repetitions, out := Out} = Options) ->
    logger:set_primary_config(level, none),
    logger:remove_handler(default),
    Only = maps:get(only, Options, ""),
    Unfit = lists:sum([module(Module, Key, Repetitions, Out, Only) || {Key, Module} <- Modules]),
    erlang:halt(min(Unfit, 1)).

module(Module, Key, Repetitions, Out, Only) ->
    Scenarios = [S || {Name, _} = S <- Module:scenarios(),
                      string:find(atom_to_list(Key) ++ "::" ++ name(Name), Only) =/= nomatch],
    Names = [name(Name) || {Name, _} <- Scenarios],
    length(lists:usort(Names)) =:= length(Names)
        orelse io:format("two scenarios of ~s share a name: ~p~n", [Key, Names -- lists:usort(Names)]),
    T0 = erlang:monotonic_time(millisecond),
    Results = [scenario(Key, name(Name), Fun, Repetitions) || {Name, Fun} <- Scenarios],
    T1 = erlang:monotonic_time(millisecond),
    Unfit = length([unfit || {_, _, false} <- Results]),
    io:format("~-5s ~4b scenarios x ~b repetitions, ~b with more than one trace, ~b ms~n",
              [Key, length(Results), Repetitions, Unfit, T1 - T0]),
    Text = [[[$\n, "## ", Name, $\n, Trace] || {Name, Trace, _} <- Results]],
    Results =/= [] andalso Only =:= "" andalso
        (ok = file:write_file(filename:join(Out, atom_to_list(Key) ++ ".trace"),
                              [header(Key, length(Results)), Text])),
    Unfit.

header(Key, Count) ->
    io_lib:format("# Erlang/OTP ~s, Elixir ~s: ~s, ~b scenarios~n",
                  [otp(), 'Elixir.System':version(), Key, Count]).

otp() ->
    Release = erlang:system_info(otp_release),
    File = filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"]),
    case file:read_file(File) of
        {ok, Version} -> string:trim(Version);
        _ -> Release
    end.

scenario(Key, Name, Fun, Repetitions) ->
    Traces = repeat(Fun, Repetitions),
    Counts = maps:to_list(lists:foldl(fun(T, M) -> M#{T => maps:get(T, M, 0) + 1} end, #{}, Traces)),
    Bad = [T || {T, _} <- Counts, binary:match(T, <<"scenario_failed">>) =/= nomatch],
    Fit = length(Counts) =:= 1 andalso Bad =:= [],
    Fit orelse io:format("NOT FIT ~s::~s~n~s", [Key, Name,
        [io_lib:format("--- ~b times~n~s", [N, T]) || {T, N} <- Counts]]),
    {Name, hd(Traces), Fit}.

%% A failure ends it: the others would only take as long.
repeat(_, 0) -> [];
repeat(Fun, Repetitions) ->
    Trace = iolist_to_binary([[Line, $\n] || Line <- one(Fun)]),
    case binary:match(Trace, <<"scenario_failed">>) of
        nomatch -> [Trace | repeat(Fun, Repetitions - 1)];
        _ -> [Trace]
    end.

%% Everything a scenario starts inherits its group leader; so it can be found, and ended.
one(Fun) ->
    Collector = spawn(fun() -> collect([], #{}, [], []) end),
    register(oracle_collector, Collector),
    {Pid, Ref} = spawn_monitor(fun() ->
        group_leader(Collector, self()),
        process_flag(trap_exit, true),
        Fun(),
        %% What its end does to what it started is no part of the story.
        freeze()
    end),
    receive
        {'DOWN', Ref, process, Pid, normal} -> ok;
        {'DOWN', Ref, process, Pid, Why} -> line([scenario_failed, io_lib:format("~0p", [Why])])
    after 12000 ->
        exit(Pid, kill),
        line([scenario_failed, timeout])
    end,
    Lines = ask(Collector, lines),
    clean(Collector),
    unregister(oracle_collector),
    exit(Collector, kill),
    Lines.

clean(Collector) ->
    Left = [P || P <- processes(), P =/= Collector, process_info(P, group_leader) =:= {group_leader, Collector}],
    Refs = [begin exit(P, kill), monitor(process, P) end || P <- Left],
    [receive {'DOWN', R, _, _, _} -> ok end || R <- Refs],
    Left =:= [] orelse clean(Collector).

%% ---- the collector ----------------------------------------------------------------------------

%% Adds a line: a list of words (pids, references, atoms, numbers, texts,
%% {reason, Reason}, {pids, Pids}).
line(Words) -> ask(oracle_collector, {line, Words}).

%% Waits until Count lines start with these words: the barrier a scenario uses, never a sleep.
await(Words, Count) -> ask(oracle_collector, {await, Words, Count}).

%% Ends the trace.
freeze() -> ask(oracle_collector, freeze).

ask(To, What) ->
    Ref = make_ref(),
    To ! {What, self(), Ref},
    receive {Ref, Answer} -> Answer after 5000 -> exit({no_answer_of_the_collector, What}) end.

collect(Lines, Names, Raw, Waiting) ->
    receive
        {{line, Words}, From, Ref} ->
            {Texts, Names1} = lists:mapfoldl(fun word/2, Names, Words),
            From ! {Ref, ok},
            Raw1 = [Words | Raw],
            collect([lists:join($\s, Texts) | Lines], Names1, Raw1, wake(Waiting, Raw1));
        {{await, Words, Count}, From, Ref} ->
            collect(Lines, Names, Raw, wake([{From, Ref, Words, Count} | Waiting], Raw));
        {freeze, From, Ref} ->
            From ! {Ref, ok},
            frozen(Lines);
        {lines, From, Ref} ->
            From ! {Ref, lists:reverse(Lines)},
            collect(Lines, Names, Raw, Waiting);
        {io_request, From, Ref, _} ->
            From ! {io_reply, Ref, ok},
            collect(Lines, Names, Raw, Waiting);
        _ ->
            collect(Lines, Names, Raw, Waiting)
    end.

frozen(Lines) ->
    receive
        {lines, From, Ref} -> From ! {Ref, lists:reverse(Lines)};
        {_, From, Ref} when is_reference(Ref) -> From ! {Ref, ok};
        {io_request, From, Ref, _} -> From ! {io_reply, Ref, ok};
        _ -> ok
    end,
    frozen(Lines).

wake(Waiting, Raw) ->
    [Wait || {From, Ref, Words, Count} = Wait <- Waiting,
             case length([x || Line <- Raw, lists:prefix(Words, Line)]) >= Count of
                 true -> From ! {Ref, ok}, false;
                 false -> true
             end].

%% ---- the neutral form -------------------------------------------------------------------------

word(Pid, Names) when is_pid(Pid) -> number($p, Pid, Names);
word(Ref, Names) when is_reference(Ref) -> number($r, Ref, Names);
%% Several pids whose order is none: by their numbers.
word({pids, Pids}, Names) ->
    {Texts, Names1} = lists:mapfoldl(fun word/2, Names, Pids),
    {lists:join($\s, lists:sort(fun(A, B) -> {length(A), A} =< {length(B), B} end, Texts)), Names1};
word({reason, Reason}, Names) -> {reason(Reason), Names};
word(Atom, Names) when is_atom(Atom) -> {name(Atom), Names};
word(Number, Names) when is_integer(Number) -> {integer_to_list(Number), Names};
word(Text, Names) -> {Text, Names}.

%% An Elixir module or nil prints as Elixir prints it.
name(Atom) when is_atom(Atom) -> atom_to_list(Atom);
name(Text) -> lists:flatten(unicode:characters_to_list(Text)).

number(Kind, Thing, Names) ->
    case Names of
        #{Thing := Text} -> {Text, Names};
        _ ->
            Next = maps:get({count, Kind}, Names, 0) + 1,
            Text = [Kind | integer_to_list(Next)],
            {Text, Names#{Thing => Text, {count, Kind} => Next}}
    end.

%% The one mapping of exit reasons to words.
reason(R) when R =:= normal; R =:= shutdown; R =:= kill; R =:= killed; R =:= noproc;
               R =:= noconnection; R =:= timeout -> atom_to_list(R);
reason({Why, {Module, Function, Args}})
  when is_atom(Module), is_atom(Function), is_list(Args) -> reason(Why);  % what a call exits with
reason({shutdown, {failed_to_start_child, Id, _}}) -> ["shutdown(failed_to_start_child ", name(Id), ")"];
reason({shutdown, Why}) -> ["shutdown(", name(Why), ")"];
reason({error, Why}) -> ["error(", name(Why), ")"];
reason({_, [{_, _, _, _} | _]}) -> "crash";                              % an error with its stack
reason({bad_return_value, _}) -> "crash";
reason({nocatch, _}) -> "crash";
reason(#{'__exception__' := true}) -> "crash";
reason(Atom) when is_atom(Atom) -> ["custom(", atom_to_list(Atom), ")"].

%% Why a call failed.
call_error(calling_self) -> "calling_self";
call_error({calling_self, _}) -> "calling_self";
call_error(Reason) -> reason(Reason).

%% Reasons a process can be ended with: name in the scenario, term.
reasons() ->
    [{normal, normal}, {shutdown, shutdown}, {shutdown_with, {shutdown, why}}, {kill, kill},
     {killed, killed}, {noproc, noproc}, {noconnection, noconnection}, {timeout, timeout},
     {custom, boom}, {error, {error, bad}}].

reasons(Names) -> [{N, R} || {N, R} <- reasons(), lists:member(N, Names)].

%% ---- what a driver waits for ------------------------------------------------------------------

%% A monitor which is in place when this returns. monitor/2 alone only sends it: it may be overtaken
%% by the end of the process, if that comes from somebody else.
watch(Pid) ->
    Ref = monitor(process, Pid),
    is_pid(Pid) andalso is_process_alive(Pid),
    Ref.

down(Ref) -> receive {'DOWN', Ref, process, Pid, Why} -> line([down, Ref, Pid, {reason, Why}]) end.

exit_of(Pid) -> receive {'EXIT', Pid, Why} -> line([exit, Pid, {reason, Why}]) end.

%% The next item of the mailbox, whatever it is.
msg() ->
    receive
        {'DOWN', Ref, process, Pid, Why} -> line([down, Ref, Pid, {reason, Why}]);
        {'EXIT', Pid, Why} -> line([exit, Pid, {reason, Why}]);
        Other -> line([message, Other])
    end.

%% Nothing is in the mailbox. Only after a barrier.
nothing() ->
    receive
        {'DOWN', _, process, _, _} = Down -> self() ! Down, line([stray_down]);
        {'EXIT', _, _} = Exit -> self() ! Exit, line([stray_exit]);
        Other -> line([stray, io_lib:format("~0p", [Other])])
    after 0 -> line([nothing])
    end.

%% Whether a process got over what was sent to it before.
alive_or_down(Worker, Ref) ->
    Tag = make_ref(),
    Worker ! {ping, self(), Tag},
    receive
        {pong, Tag} -> line([alive, Worker]);
        {'DOWN', Ref, process, Pid, Why} -> line([down, Ref, Pid, {reason, Why}])
    end.

%% Polls for a condition which no message announces.
until(Fun) -> until(Fun, erlang:monotonic_time(millisecond) + 5000).

until(Fun, Deadline) ->
    case Fun() of
        true -> ok;
        false ->
            erlang:monotonic_time(millisecond) < Deadline orelse exit(condition_never_held),
            erlang:yield(),
            until(Fun, Deadline)
    end.
