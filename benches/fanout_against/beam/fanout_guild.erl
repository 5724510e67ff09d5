%% The guild: gives each message its id, encodes it once and hands it to the relay.
-module(fanout_guild).
-behaviour(gen_server).
-export([publish/2, join/2]).
-export([init/1, handle_call/3, handle_cast/2]).

publish(Guild, Content) -> gen_server:call(Guild, {publish, Content}).

%% The session gets every event from now on.
join(Guild, Session) -> gen_server:call(Guild, {join, Session}).

init({Relay, Template}) ->
    [BeforeId, Rest] = binary:split(Template, <<"@ID@">>),
    [BeforeContent, AfterContent] = binary:split(Rest, <<"@CONTENT@">>),
    {ok, {Relay, {BeforeId, BeforeContent, AfterContent}, 1575295534367768576}}.

handle_call({publish, Content}, _From, {Relay, Parts = {A, B, C}, Id}) ->
    Body = iolist_to_binary([A, integer_to_binary(Id), B, Content, C]),
    fanout_relay:event(Relay, <<"MESSAGE_CREATE">>, Body),
    {reply, ok, {Relay, Parts, Id + 1}};
handle_call({join, Session}, _From, State = {Relay, _, _}) ->
    fanout_relay:join(Relay, Session),
    {reply, ok, State}.

handle_cast(_, State) -> {noreply, State}.
