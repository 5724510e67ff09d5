%% The relay: sends each event of the guild to all its sessions.
-module(fanout_relay).
-behaviour(gen_server).
-export([event/3, join/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

event(Relay, Type, Body) -> gen_server:cast(Relay, {event, Type, Body}).

join(Relay, Session) -> gen_server:cast(Relay, {join, Session}).

init([]) -> {ok, []}.

handle_call(_, _From, Sessions) -> {reply, ok, Sessions}.

handle_cast(Event = {event, _, _}, Sessions) ->
    lists:foreach(fun(Session) -> Session ! Event end, Sessions),
    {noreply, Sessions};
handle_cast({join, Session}, Sessions) ->
    monitor(process, Session),
    {noreply, [Session | Sessions]}.

handle_info({'DOWN', _, process, Session, _}, Sessions) ->
    {noreply, lists:delete(Session, Sessions)}.
