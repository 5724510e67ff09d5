//! What the guild process does with each request: looks whether it can be taken on, has the rules
//! decide, and passes on what follows.

use std::sync::Arc;

use metrics::counter;
use model::UserId;
use model::presence::{ClientStatus, Presence};
use otp::Pid;

use super::command::{Actor, Answer, Command};
use super::lane::{self, Settle};
use super::reply::Reply;
use super::state::{SnapshotWants, Turn};
use super::{GuildServer, Phase, Watch};
use crate::clock;
use crate::error::{ChatError, Missing};
use crate::relay::{Order, Subscriber};

impl GuildServer {
    pub(super) fn execute(&mut self, actor: Actor, command: Command, reply: Reply<Answer>) {
        counter!("guildhall_guild_commands_total", "command" => command.name()).increment(1);
        let chat = self.chat.clone();
        let (number, settled) = (self.decided + 1, self.family.settled());
        let Some(state) = self.ready() else {
            return reply.send(Err(self.refusal()));
        };
        let joining = match &command {
            Command::AddMember(user) => Some(user.id),
            _ => None,
        };
        let mut turn = Turn::new(clock::now_ms(), chat.ids()).numbered(number, settled);
        let answer = state.apply(&mut turn, actor, command);
        if state.lost_members() {
            // Dropped, the request is asked again.
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return reply.send(Err(error)),
        };
        // Permissions are answered at once: a revoke counts before it is durable, and a grant that
        // fails to become durable shows nothing but what was durable already.
        // Members are read where only durable ones are.
        if matches!(
            answer,
            Answer::Permissions(_) | Answer::Look(_) | Answer::Readable(_)
        ) {
            return reply.send(Ok(answer));
        }
        if let Some(user) = joining
            && let Some((presence, client_status)) = chat.presences().of(user)
        {
            let command = Command::SetPresence {
                user,
                presence: Some(presence),
                client_status,
            };
            // The rules refuse no presence.
            let _ = state.apply(&mut turn, Actor::System, command);
        }
        if state.lost_members() {
            return;
        }
        let deleted = state.is_deleted();
        let reader = match actor {
            Actor::User(user) => Some(user),
            Actor::System => None,
        };
        self.submit(
            turn.effects,
            Settle::Answer {
                reply,
                answer: Box::new(answer),
                reader,
            },
        );
        if deleted {
            self.phase = Phase::Gone;
        }
    }

    pub(super) fn subscribe(
        &mut self,
        mut subscriber: Subscriber,
        mut wants: SnapshotWants,
        reply: Reply<Pid>,
    ) {
        let passive_members_min = self.chat.config().passive_members_min;
        let listeners = self.family.relays().listeners().clone();
        if self.ready().is_none() {
            return reply.send(Err(self.refusal()));
        }
        let Phase::Running(state) = &mut self.phase else {
            return reply.send(Err(self.refusal()));
        };
        let user = subscriber.user;
        // From here on it is told of other views.
        let coming = listeners.expect(user);
        let view = state.view_of(user);
        if state.lost_members() {
            return;
        }
        let Some(view) = view else {
            return reply.send(Err(ChatError::NotFound(Missing::Guild)));
        };
        // Decided once: a session does not become passive because the guild grows.
        subscriber.passive &= state.member_count() > passive_members_min;
        if subscriber.passive {
            state.listens(user);
        }
        // A passive session is told of no changes of other members and presences, so a list of them
        // would be wrong from the start. It would also be another one for each who logs in: its
        // client asks for the parts of the member list it shows (op 14, op 37).
        wants.members_and_presences &= !subscriber.passive;
        // Making GUILD_CREATE costs; it is not made for sessions that did not ask for it.
        let wanted = subscriber.intents.contains(model::intents::Intents::GUILDS);
        let creates = &mut self.creates;
        let snapshot = wanted
            .then(|| creates.guild_create(state, user, &view, wants, clock::now_ms()))
            .flatten();
        if state.lost_members() {
            return;
        }
        let snapshot = snapshot.into_iter().map(Arc::new).collect();
        let order = Order::Subscribe {
            subscriber,
            view,
            snapshot,
            coming: Some(coming),
        };
        self.hand_over(
            vec![lane::Step::Order(order)],
            None,
            Vec::new(),
            Settle::Subscribed(reply),
        );
    }

    pub(super) fn watch(&mut self, mut watch: Watch, reply: Reply<()>) {
        let Some(state) = self.ready() else {
            return reply.send(Err(self.refusal()));
        };
        let user = watch.user;
        watch
            .channels
            .retain(|(channel, _)| state.may_view(user, *channel));
        if state.lost_members() {
            return;
        }
        if let Some(shape) = self.shape() {
            let step = lane::Step::Watch(Arc::new(watch), shape);
            self.hand_over(vec![step], None, Vec::new(), Settle::Nothing);
            reply.send(Ok(()));
        }
    }

    pub(super) fn presence(
        &mut self,
        user: UserId,
        presence: Option<Presence>,
        client_status: ClientStatus,
    ) {
        let Phase::Running(state) = &mut self.phase else {
            return;
        };
        let mut turn = Turn::new(clock::now_ms(), self.chat.ids());
        let command = Command::SetPresence {
            user,
            presence,
            client_status,
        };
        // The rules refuse no presence.
        let _ = state.apply(&mut turn, Actor::System, command);
        if !state.lost_members() && !turn.effects.is_empty() {
            self.submit(turn.effects, Settle::Nothing);
        }
    }
}
