//! The handle a request to a guild is answered with.
//!
//! Not [`otp::From`]: it is passed on to the lane and must be good when the guild that took the
//! request dies, and it must tell "not begun" (ask again) from "handed to the store" (unknown).

use tokio::sync::oneshot;

use crate::error::{ChatError, Result};

/// Answers one request; can be passed on.
///
/// Dropped without an answer, the caller learns what is certain: nothing was begun (it asks
/// again), or, once submitted to the store, that the outcome is unknown.
#[derive(Debug)]
pub struct Reply<T> {
    slot: Option<oneshot::Sender<Result<T>>>,
    submitted: bool,
}

impl<T> Reply<T> {
    /// A reply and what its caller waits on; that fails when the request was certainly not begun.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<T>>) {
        let (slot, answer) = oneshot::channel();
        (
            Self {
                slot: Some(slot),
                submitted: false,
            },
            answer,
        )
    }

    /// From here on the request may have an effect.
    pub(crate) fn submitted(&mut self) {
        self.submitted = true;
    }

    /// Answers. An answer nobody waits for any more is dropped.
    pub fn send(mut self, answer: Result<T>) {
        if let Some(slot) = self.slot.take() {
            let _ = slot.send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        if self.submitted {
            let _ = slot.send(Err(ChatError::Unknown("its process ended".to_owned())));
        } else if std::thread::panicking() {
            // Asked again it would only bring down the next process too.
            let _ = slot.send(Err(ChatError::Internal(
                "the guild failed; nothing was changed".to_owned(),
            )));
        }
    }
}
