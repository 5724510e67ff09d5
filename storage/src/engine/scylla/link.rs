//! The way to the cluster: a session, the prepared statements, and how requests are tried.
//!
//! * **Reads** may be sent again: the driver's default policy asks another replica after a failure,
//!   and a second one beside the first after [`SPECULATE_AFTER`], so that one slow replica is not
//!   felt. At most [`CQL_READS_AT_ONCE`] are under way, at most [`CQL_READS_WAITING`] wait.
//! * **Writes** are sent by the driver once and never speculatively, because only this file knows
//!   what an error says about the tries before it. Every write is idempotent, since its timestamp is
//!   fixed and nothing is counted or appended; so one whose outcome is unknown, or that found no
//!   quorum, is sent again with the same timestamp, [`WRITE_TRIES_MAX`] times in all.
//! * **The log of a batch** has to be on two nodes beside the coordinator. For the ten to twenty
//!   seconds in which one of three is dead and not yet known to be, every logged batch would fail. So
//!   when the log reached one node, which is enough for the whole batch to be applied whatever dies
//!   now, the same statements are sent without a log.
//! * **Lightweight transactions** are sent once. Their caller looks what became of them.
//!
//! The driver finds the replicas of a row by its token, keeps connections to all nodes of the
//! datacenter and renews them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::CqlValue;
use tokio::sync::OwnedSemaphorePermit;

use super::anti_entropy::Orphans;
use super::changes::Change;
use super::clock::Clock;
use super::complaints::Complaints;
use super::failure::Failure;
use super::schema;
use super::start;
use super::statements::{Cell, Prepared, Statement};
use super::tls;
use super::url::Cluster;
use crate::engine::places::Places;
use crate::error::StoreError;
use crate::store::Result;

/// Reads that may be under way at once.
pub const CQL_READS_AT_ONCE: usize = 512;

/// Reads that may wait for a place; past it a read is refused with [`StoreError::Busy`].
pub const CQL_READS_WAITING: usize = 8_192;

/// How often a write is sent before its failure is told.
pub const WRITE_TRIES_MAX: u32 = 4;

/// Bytes of values in one request; longer ones are not sent. Cassandra takes 16 MiB
/// (`native_transport_max_frame_size`), and skips what is longer while others wait behind it on the same
/// connection.
pub const REQUEST_BYTES_MAX: usize = 15 * 1_024 * 1_024;

/// Longest time for one try of a write.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest time for a read, all its tries together.
pub const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// A read is sent to a second replica when the first has not answered for so long.
pub const SPECULATE_AFTER: Duration = Duration::from_millis(100);

/// Pause before the second try of a write; doubled for each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest time to connect to a node.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest time until there is a session: resolving, connecting, the handshake of TLS, what the nodes
/// tell of the cluster. The driver bounds only the connecting; this leaves time for it to all contact
/// points, one after the other.
pub const SESSION_TIME_MAX: Duration = Duration::from_secs(90);

/// Longest time until all nodes know a changed table.
const AGREEMENT_TIME_MAX: Duration = Duration::from_secs(60);

/// How often the nodes are asked whether all know it.
const AGREEMENT_EVERY: Duration = Duration::from_millis(20);

/// The session and what it needs.
pub(super) struct Link {
    session: Session,
    prepared: Prepared,
    /// The clock of its writes.
    pub(super) clock: Clock,
    /// Rows without author that readers met.
    pub(super) orphans: Orphans,
    places: Places,
    complaints: Mutex<Complaints>,
    /// Between what a group of batches read and what it writes.
    #[cfg(any(test, feature = "testsuite"))]
    pub(super) stop: super::stop::Stop,
}

impl Link {
    /// Connects, brings the tables to the version this program knows, prepares the statements.
    ///
    /// # Errors
    /// [`StoreError::Broken`] with a text for the operator.
    pub(super) async fn open(cluster: &Cluster) -> Result<Self> {
        let (reads, writes) = profiles(cluster);
        let session = session(cluster, &writes, SESSION_TIME_MAX).await?;
        schema::prepare(&session, cluster).await?;
        // The keyspace may be new; without this its rows are asked for at any node.
        let known = session.refresh_metadata().await;
        known.map_err(|error| start::no_session(cluster, &error.into()))?;
        start::check_settings(&session).await;
        let prepared = Prepared::all(&session, &reads.into_handle(), &writes.into_handle()).await?;
        Ok(Self {
            session,
            prepared,
            clock: Clock::default(),
            orphans: Orphans::default(),
            places: Places::new(CQL_READS_AT_ONCE, CQL_READS_WAITING),
            complaints: Mutex::default(),
            #[cfg(any(test, feature = "testsuite"))]
            stop: super::stop::Stop::default(),
        })
    }

    /// What a failed request means; said in the log now and then.
    fn failed(&self, error: &ExecutionError) -> Failure {
        let failure = Failure::of(error);
        if (failure.again || failure.too_large)
            && let Some(failures) = self.complaints.lock().note(Instant::now())
        {
            tracing::warn!(
                error = failure.text,
                failures,
                "the cluster does not do what it is asked"
            );
        }
        failure
    }

    /// The rows a read of the port answers with, all pages of them; waits for a place.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::NotApplied`] when no quorum answered,
    /// [`StoreError::Corrupt`].
    pub(super) async fn rows<R>(&self, statement: Statement, values: Vec<Cell>) -> Result<Vec<R>>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let _place = self.place().await?;
        self.rows_now(statement, values).await
    }

    /// The first row, if any; as [`Link::rows`].
    ///
    /// # Errors
    /// As [`Link::rows`].
    pub(super) async fn row<R>(&self, statement: Statement, values: Vec<Cell>) -> Result<Option<R>>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Rows for a write that needs them: does not wait for a place, since writes have their own
    /// bound.
    ///
    /// # Errors
    /// [`StoreError::NotApplied`] when no quorum answered, [`StoreError::Corrupt`].
    pub(super) async fn rows_now<R>(
        &self,
        statement: Statement,
        values: Vec<Cell>,
    ) -> Result<Vec<R>>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut found = Vec::new();
        let mut state = PagingState::start();
        loop {
            let (page, next) = self.page(statement, &values, state).await?;
            found.extend(page);
            match next {
                Some(next) => state = next,
                None => return Ok(found),
            }
        }
    }

    /// One page of rows, and where the next one begins.
    ///
    /// # Errors
    /// [`StoreError::NotApplied`] when no quorum answered, [`StoreError::Corrupt`].
    pub(super) async fn page<R>(
        &self,
        statement: Statement,
        values: &[Cell],
        state: PagingState,
    ) -> Result<(Vec<R>, Option<PagingState>)>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let prepared = self.prepared.get(statement);
        let (answer, next) = self
            .session
            .execute_single_page(prepared, values, state)
            .await
            .map_err(|error| self.failed(&error).of_read())?;
        let rows = answer.into_rows_result().map_err(corrupt)?;
        let rows = rows
            .rows::<R>()
            .map_err(corrupt)?
            .map(|row| row.map_err(corrupt))
            .collect::<Result<_>>()?;
        let next = match next {
            PagingStateResponse::HasMorePages { state } => Some(state),
            PagingStateResponse::NoMorePages => None,
        };
        Ok((rows, next))
    }

    /// A place for a read of the port, held as long as it is asked.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many wait.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.places.take().await
    }

    /// Makes changes, all or none: one statement, one partition's batch, or a logged batch.
    ///
    /// # Errors
    /// [`StoreError::NotApplied`], [`StoreError::TooLarge`], [`StoreError::Busy`]: nothing was changed.
    /// [`StoreError::Unknown`]: after [`WRITE_TRIES_MAX`] tries it is not known.
    pub(super) async fn write(&self, changes: &[Change]) -> Result<()> {
        fits(changes)?;
        let mut may_be_applied = false;
        let mut logged = false;
        let mut pause = PAUSE;
        for left in (0..WRITE_TRIES_MAX).rev() {
            let Err(failure) = self.write_once(changes, logged).await else {
                return Ok(());
            };
            if !failure.again || left == 0 {
                return Err(failure.of_write(may_be_applied));
            }
            tracing::debug!(error = failure.text, left, "a write is sent again");
            metrics::counter!("guildhall_store_cql_retries_total").increment(1);
            may_be_applied |= failure.may_be_applied;
            if failure.logged && !logged {
                logged = true;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// One try. `logged`: the cluster already has the log of this batch.
    async fn write_once(
        &self,
        changes: &[Change],
        logged: bool,
    ) -> std::result::Result<(), Failure> {
        let kind = match changes {
            [] => return Ok(()),
            [only] => {
                let prepared = self.prepared.get(only.statement);
                let sent = self.session.execute_unpaged(prepared, &only.values);
                return sent.await.map(drop).map_err(|error| self.failed(&error));
            }
            [first, rest @ ..] if rest.iter().all(|other| other.same_partition(first)) => {
                BatchType::Unlogged
            }
            _ if logged => BatchType::Unlogged,
            _ => BatchType::Logged,
        };
        let mut batch = Batch::new(kind);
        batch.set_is_idempotent(true);
        for change in changes {
            batch.append_statement(self.prepared.get(change.statement).clone());
        }
        let values: Vec<_> = changes.iter().map(|change| &change.values).collect();
        self.session
            .batch(&batch, values)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// A lightweight transaction: `None` when it was applied, otherwise what stood against it, by
    /// column. Servers answer with different columns, so none is relied on but by name.
    ///
    /// # Errors
    /// As [`Link::write`], after one try.
    pub(super) async fn transaction(
        &self,
        statement: Statement,
        values: Vec<Cell>,
    ) -> Result<Option<HashMap<String, CqlValue>>> {
        let prepared = self.prepared.get(statement);
        let answer = self
            .session
            .execute_unpaged(prepared, values)
            .await
            .map_err(|error| self.failed(&error).of_write(false))?;
        let rows = answer.into_rows_result().map_err(corrupt)?;
        let names: Vec<_> = rows
            .column_specs()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let row = rows.first_row::<scylla::value::Row>().map_err(corrupt)?;
        let columns = names.into_iter().zip(row.columns);
        let columns: HashMap<_, _> = columns
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        match columns.get("[applied]") {
            Some(CqlValue::Boolean(true)) => Ok(None),
            Some(CqlValue::Boolean(false)) => Ok(Some(columns)),
            _ => Err(StoreError::Unknown(
                "the cluster did not say whether a transaction was applied".to_owned(),
            )),
        }
    }
}

/// Whether one request can take these.
///
/// # Errors
/// [`StoreError::TooLarge`].
fn fits(changes: &[Change]) -> Result<()> {
    let bytes: usize = changes.iter().map(Change::bytes).sum();
    if bytes <= REQUEST_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::TooLarge(format!(
        "{bytes} bytes in one request, of which {REQUEST_BYTES_MAX} are sent"
    )))
}

/// Connects, in so much time.
async fn session(cluster: &Cluster, writes: &ExecutionProfile, time: Duration) -> Result<Session> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&cluster.nodes)
        .connection_timeout(CONNECT_TIME_MAX)
        .schema_agreement_timeout(AGREEMENT_TIME_MAX)
        .schema_agreement_interval(AGREEMENT_EVERY)
        .refresh_metadata_on_auto_schema_agreement(false)
        // What routing needs: where the rows of a keyspace lie.
        .keyspaces_to_fetch([&cluster.keyspace])
        .fetch_full_schema_metadata(false)
        .default_execution_profile_handle(writes.clone().into_handle());
    if let Some((name, password)) = &cluster.login {
        builder = builder.user(name, password);
    }
    if let Some(datacenter) = &cluster.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    if let Some(tls) = &cluster.tls {
        let config = tls::config(tls, cluster).map_err(StoreError::Broken)?;
        builder = builder.tls_context(Some(config));
    }
    match tokio::time::timeout(time, builder.build()).await {
        Ok(built) => built.map_err(|error| start::no_session(cluster, &error)),
        Err(_) => Err(start::no_answer(cluster)),
    }
}

fn profiles(cluster: &Cluster) -> (ExecutionProfile, ExecutionProfile) {
    let mut balance = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &cluster.datacenter {
        balance = balance.prefer_datacenter(datacenter.clone());
    }
    let balance = balance.build();
    let common = || {
        ExecutionProfile::builder()
            .consistency(cluster.consistency)
            .serial_consistency(Some(match cluster.consistency {
                Consistency::LocalQuorum => SerialConsistency::LocalSerial,
                _ => SerialConsistency::Serial,
            }))
            .load_balancing_policy(balance.clone())
    };
    let twice = SimpleSpeculativeExecutionPolicy {
        max_retry_count: 1,
        retry_interval: SPECULATE_AFTER,
    };
    let reads = common()
        .request_timeout(Some(READ_TIME_MAX))
        .retry_policy(Arc::new(DefaultRetryPolicy::new()))
        .speculative_execution_policy(Some(Arc::new(twice)));
    let writes = common()
        .request_timeout(Some(WRITE_TIME_MAX))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .speculative_execution_policy(None);
    (reads.build(), writes.build())
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::statements::{blob, is};
    use super::*;

    /// Longest time the test waits for what should end long before.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn what_is_too_long_for_a_request_is_not_sent() {
        let of = |bytes: usize| {
            let values = vec![is(CqlValue::Text("ab".to_owned())), blob(vec![7; bytes])];
            Change::new(Statement::PutSetting, (0, 0), values)
        };
        fits(&[]).unwrap();
        fits(&[of(REQUEST_BYTES_MAX - 2)]).unwrap();
        for over in [
            vec![of(REQUEST_BYTES_MAX - 1)],
            vec![of(REQUEST_BYTES_MAX / 2), of(REQUEST_BYTES_MAX / 2)],
        ] {
            let told = fits(&over).unwrap_err();
            assert!(matches!(told, StoreError::TooLarge(_)), "{told}");
        }
    }

    #[tokio::test]
    async fn a_server_that_takes_connections_and_says_nothing_ends_the_start() {
        // The kernel takes them; nobody reads.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/ca.pem");
        for options in [String::new(), format!("?tls=on&tls_ca={authority}")] {
            let cluster = Cluster::parse(&format!("//ada:secret@{address}/hall{options}")).unwrap();
            let (_, writes) = profiles(&cluster);
            let opened = session(&cluster, &writes, Duration::from_millis(200));
            let told = tokio::time::timeout(DEADLINE, opened).await.unwrap();
            let told = told.err().unwrap().to_string();
            assert!(told.contains("does not answer"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
