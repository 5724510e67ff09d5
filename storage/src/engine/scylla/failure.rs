//! What a failed request means: whether the write may have happened, and whether to try again.
//!
//! ```text
//!  driver's error ─▶ judge ─▶ Failure { may_be_applied, again }
//!                                │ of several tries: one that may be applied makes all so
//!                                ▼
//!                  StoreError::NotApplied / TooLarge / Busy / Unknown
//! ```
//!
//! An error means "not applied" only when the server says that it began nothing, or when nothing
//! was sent. Everything else may have happened, now or later: a coordinator that gave up waiting
//! has its batch in the log of batches and plays it again.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError, WriteType};

use crate::error::StoreError;

/// What servers say of a request they refuse for its size, before they begin with it. CQL has no code
/// for that, only texts.
const TOO_LARGE: [&str; 5] = [
    // Cassandra and ScyllaDB: batch_size_fail_threshold.
    "Batch too large",
    // Cassandra since 4.1: max_mutation_size, half a segment of the commit log unless set; before.
    "oversized mutation",
    "is too large for the maximum size",
    // Cassandra: native_transport_max_frame_size; ScyllaDB: a share of its memory.
    "Request is too big",
    "request size too large",
];

/// What is known after a failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether what was asked may have been done, or may still be.
    pub(super) may_be_applied: bool,
    /// Whether the same request may succeed a moment later.
    pub(super) again: bool,
    /// Whether it is more than the server takes at once.
    pub(super) too_large: bool,
    /// Whether the server had too much to do.
    pub(super) busy: bool,
    /// Whether it was a logged batch of which at least one node has the log, so that all of it will
    /// be applied, but not all nodes that should have it answered.
    pub(super) logged: bool,
    /// What was said.
    pub(super) text: String,
}

impl Failure {
    fn new(may_be_applied: bool, again: bool, text: impl ToString) -> Self {
        Self {
            may_be_applied,
            again,
            too_large: false,
            busy: false,
            logged: false,
            text: text.to_string(),
        }
    }

    /// What a failed write means.
    pub(super) fn of(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::BadQuery(_) | ExecutionError::UseKeyspaceError(_) => {
                Self::new(false, false, error)
            }
            // No node to ask: nothing was sent.
            ExecutionError::EmptyPlan
            | ExecutionError::ConnectionPoolError(_)
            | ExecutionError::PrepareError(_) => Self::new(false, true, error),
            ExecutionError::LastAttemptError(attempt) => Self::of_attempt(attempt),
            // A time limit of ours, and whatever the driver adds one day.
            _ => Self::new(true, true, error),
        }
    }

    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_) => Self::new(false, false, error),
            RequestAttemptError::UnableToAllocStreamId => Self {
                busy: true,
                ..Self::new(false, true, error)
            },
            RequestAttemptError::RepreparedIdChanged { .. }
            | RequestAttemptError::RepreparedIdMissingInBatch => Self::new(false, true, error),
            RequestAttemptError::DbError(database, text) => Self {
                too_large: matches!(database, DbError::Invalid | DbError::ProtocolError)
                    && TOO_LARGE.iter().any(|known| text.contains(known)),
                ..Self::of_database(database, error)
            },
            _ => Self::new(true, true, error),
        }
    }

    fn of_database(database: &DbError, error: &RequestAttemptError) -> Self {
        match database {
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::FunctionFailure { .. }
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::ProtocolError => Self::new(false, false, error),
            // Said before anything is sent to a replica.
            DbError::Unavailable { .. } | DbError::IsBootstrapping | DbError::Unprepared { .. } => {
                Self::new(false, true, error)
            }
            DbError::RateLimitReached {
                rejected_by_coordinator: true,
                ..
            } => Self {
                busy: true,
                ..Self::new(false, true, error)
            },
            DbError::WriteTimeout {
                write_type: WriteType::BatchLog,
                received: 1..,
                ..
            } => Self {
                logged: true,
                ..Self::new(true, true, error)
            },
            // A coordinator finds itself overloaded while it sends: some replicas may have it.
            _ => Self::new(true, true, error),
        }
    }

    /// The error of a write after several tries, of which `earlier` may have been applied.
    pub(super) fn of_write(self, earlier: bool) -> StoreError {
        if self.may_be_applied || earlier {
            StoreError::Unknown(self.text)
        } else {
            self.of_read()
        }
    }

    /// The error of a read: nothing is changed by it.
    pub(super) fn of_read(self) -> StoreError {
        if self.busy {
            StoreError::Busy
        } else if self.too_large {
            StoreError::TooLarge(self.text)
        } else {
            StoreError::NotApplied(self.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scylla::errors::OperationType;
    use scylla::statement::Consistency;

    fn database(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, "text".to_owned()))
    }

    fn write_timeout(write_type: WriteType) -> ExecutionError {
        database(DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type,
        })
    }

    #[test]
    fn only_what_was_never_begun_is_not_applied() {
        let unavailable = DbError::Unavailable {
            consistency: Consistency::LocalQuorum,
            required: 2,
            alive: 1,
        };
        for (error, again) in [
            (database(unavailable), true),
            (database(DbError::IsBootstrapping), true),
            (database(DbError::Invalid), false),
            (database(DbError::SyntaxError), false),
            (database(DbError::Unauthorized), false),
            (ExecutionError::EmptyPlan, true),
        ] {
            let failure = Failure::of(&error);
            assert_eq!(
                (failure.may_be_applied, failure.again),
                (false, again),
                "{error}"
            );
            let told = failure.clone().of_write(false);
            assert!(matches!(told, StoreError::NotApplied(_)), "{told}");
            // An earlier try of the same write may have been applied.
            let told = failure.of_write(true);
            assert!(matches!(told, StoreError::Unknown(_)), "{told}");
        }
    }

    #[test]
    fn what_may_have_happened_is_unknown() {
        let failed = DbError::WriteFailure {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            numfailures: 1,
            write_type: WriteType::Batch,
        };
        let limited = DbError::RateLimitReached {
            op_type: OperationType::Write,
            rejected_by_coordinator: false,
        };
        for error in [
            write_timeout(WriteType::Batch),
            write_timeout(WriteType::BatchLog),
            write_timeout(WriteType::Simple),
            write_timeout(WriteType::Cas),
            database(failed),
            database(limited),
            database(DbError::ServerError),
            database(DbError::Overloaded),
            database(DbError::Other(77)),
            ExecutionError::RequestTimeout(std::time::Duration::from_secs(1)),
        ] {
            let failure = Failure::of(&error);
            assert!(failure.may_be_applied && failure.again, "{error}");
            assert!(matches!(failure.of_write(false), StoreError::Unknown(_)));
        }
    }

    /// What Cassandra 5.0 and ScyllaDB say, word for word.
    #[test]
    fn what_is_too_large_is_told_apart_by_its_text() {
        let said = |error: DbError, text: &str| {
            Failure::of(&ExecutionError::LastAttemptError(
                RequestAttemptError::DbError(error, text.to_owned()),
            ))
        };
        for (error, text) in [
            (DbError::Invalid, "Batch too large"),
            (
                DbError::Invalid,
                "Rejected an oversized mutation (9000000/8388608) for keyspace: hall. Top keys are: messages.7",
            ),
            (
                DbError::ProtocolError,
                "Request is too big: length 31457280 exceeds maximum allowed length 16777216.",
            ),
            (
                DbError::Invalid,
                "request size too large (frame size 1000; estimate 2000; allowed 1500)",
            ),
        ] {
            let failure = said(error, text);
            assert_eq!((failure.may_be_applied, failure.again), (false, false));
            let told = failure.clone().of_write(false);
            assert!(
                matches!(&told, StoreError::TooLarge(said) if said.contains(text)),
                "{told}"
            );
            // An earlier try of it may have met a server that takes more.
            assert!(matches!(failure.of_write(true), StoreError::Unknown(_)));
        }
        // The words of somebody's message in an error about something else, and errors after which
        // something may have happened.
        let told = said(DbError::SyntaxError, "near \"Batch too large\"").of_write(false);
        assert!(matches!(told, StoreError::NotApplied(_)), "{told}");
        let told = said(DbError::Invalid, "Undefined column").of_write(false);
        assert!(matches!(told, StoreError::NotApplied(_)), "{told}");
        let told = said(DbError::ServerError, "Batch too large").of_write(false);
        assert!(matches!(told, StoreError::Unknown(_)), "{told}");
    }

    #[test]
    fn a_log_on_one_node_is_told_apart() {
        assert!(Failure::of(&write_timeout(WriteType::BatchLog)).logged);
        assert!(!Failure::of(&write_timeout(WriteType::Batch)).logged);
        let nobody = DbError::WriteTimeout {
            consistency: Consistency::Two,
            received: 0,
            required: 2,
            write_type: WriteType::BatchLog,
        };
        assert!(!Failure::of(&database(nobody)).logged);
    }

    #[test]
    fn a_server_that_refuses_for_its_load_is_busy() {
        let limited = |rejected_by_coordinator| {
            Failure::of(&database(DbError::RateLimitReached {
                op_type: OperationType::Read,
                rejected_by_coordinator,
            }))
        };
        assert_eq!(limited(true).of_write(false), StoreError::Busy);
        assert_eq!(limited(true).of_read(), StoreError::Busy);
        assert!(matches!(
            limited(false).of_read(),
            StoreError::NotApplied(_)
        ));
        assert!(matches!(
            limited(true).of_write(true),
            StoreError::Unknown(_)
        ));
    }
}
