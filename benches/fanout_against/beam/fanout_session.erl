%% A session: numbers its events, keeps the last ones for a resume and hands each to its connection.
-module(fanout_session).
-behaviour(gen_server).
-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% Events kept. The body is a binary shared by all sessions.
-define(REPLAY_MAX, 64).

-record(session, {connection, sequence = 0, replay = queue:new(), kept = 0}).

start_link(Connection) -> gen_server:start_link(?MODULE, Connection, []).

init(Connection) -> {ok, dispatch(<<"READY">>, <<"{}">>, #session{connection = Connection})}.

handle_call(_, _From, Session) -> {reply, ok, Session}.

handle_cast(_, Session) -> {noreply, Session}.

handle_info({event, Type, Body}, Session) -> {noreply, dispatch(Type, Body, Session)}.

dispatch(Type, Body, Session = #session{connection = Connection, sequence = Last}) ->
    Sequence = Last + 1,
    Connection ! {text, [<<"{\"t\":\"">>, Type, <<"\",\"s\":">>, integer_to_binary(Sequence),
                         <<",\"op\":0,\"d\":">>, Body, $}]},
    keep({Sequence, Type, Body}, Session#session{sequence = Sequence}).

keep(Event, Session = #session{replay = Replay, kept = ?REPLAY_MAX}) ->
    Session#session{replay = queue:in(Event, queue:drop(Replay))};
keep(Event, Session = #session{replay = Replay, kept = Kept}) ->
    Session#session{replay = queue:in(Event, Replay), kept = Kept + 1}.
