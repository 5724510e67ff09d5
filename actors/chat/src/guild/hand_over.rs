//! How what was decided leaves the guild process: writes to the store, everything else to the lane.

use std::sync::Arc;

use metrics::counter;
use otp::SendError;

use super::lane::{self, Job, Settle};
use super::state::Effect;
use super::{GuildServer, list, members};
use crate::relay::Order;

impl GuildServer {
    /// Sends the writes to the store and everything else to the lane, at once: nothing can come
    /// between the two.
    pub(super) fn submit(&mut self, effects: Vec<Effect>, settle: Settle) {
        self.creates.changed(&effects);
        let (mut writes, mut members) = (Vec::new(), Vec::new());
        let mut steps = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Write(write) => writes.push(write),
                Effect::Member(change) => members.push(change),
                Effect::Seen(user) => steps.push(lane::Step::Seen(user)),
                Effect::Publish(event) => {
                    steps.push(lane::Step::Order(Order::Publish(Arc::new(event))))
                }
                Effect::PublishUpdate {
                    channel,
                    message,
                    member,
                    answers,
                } => {
                    steps.push(lane::Step::Update {
                        channel,
                        message,
                        member,
                        answers,
                    });
                }
                Effect::Show(channel, message) => steps.push(lane::Step::Show(channel, message)),
                Effect::Views(views) => steps.push(lane::Step::Order(Order::Views(views.into()))),
                Effect::Remove(user) => steps.push(lane::Step::Order(Order::Remove(user))),
                Effect::Clear(channels) => {
                    steps.push(lane::Step::Order(Order::Clear));
                    steps.push(lane::Step::Purge(channels));
                }
            }
        }
        if writes.iter().any(lane::may_lose_files) {
            steps.push(lane::Step::Clean);
        }
        if writes.iter().any(list::shape::is_concerned) {
            self.shape = None;
            if self.family.lists().are_watched()
                && let Some(shape) = self.shape()
            {
                steps.push(lane::Step::Shape(shape));
            }
        }
        let commit = (!writes.is_empty()).then(|| self.commit(writes));
        self.hand_over(steps, commit, members, settle);
    }

    pub(super) fn hand_over(
        &mut self,
        steps: Vec<lane::Step>,
        commit: Option<storage::data_service::Acknowledged>,
        members: Vec<members::Change>,
        settle: Settle,
    ) {
        self.decided += 1;
        let (generation, number) = (self.generation, self.decided);
        let job = Job::new(generation, number, commit, members, steps, settle);
        if let Err(error) = self.lane.try_cast(lane::Message::Job(Box::new(job))) {
            // Only what needs no answer comes here while the lane is full: presence, goodbyes.
            let full = matches!(error, SendError::Full(_));
            counter!("guildhall_lane_refused_total").increment(1);
            tracing::warn!(guild = %self.family.guild(), full, "the lane took no job");
        }
    }
}
