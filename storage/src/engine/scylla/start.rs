//! What stands against a start: what it means, and what the operator does next. And what the server
//! is set to, where it can be asked.
//!
//! No text here has the password: none of it comes from the URL but the nodes, the keyspace and the
//! name of the user.

use scylla::client::session::Session;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    NewSessionError,
};

use super::tls;
use super::url::Cluster;
use crate::error::StoreError;

/// Bytes of one batch that the server has to take: the largest batch of one request, a message with
/// long embeds or a guild with a thousand members that is deleted, is below. ScyllaDB takes this
/// many unless told otherwise.
pub const BATCH_BYTES_NEEDED: u64 = 1024 * 1024;

/// Where Apache Cassandra (4.0 on) tells what it is set to.
const SETTING: &str = "SELECT value FROM system_views.settings WHERE name = ?";

/// The setting that says how large a batch may be, by its names since 4.1 and before.
const BATCH_FAIL: [(&str, u64); 2] = [
    ("batch_size_fail_threshold", 1),
    ("batch_size_fail_threshold_in_kb", 1024),
];

/// Why there is no session.
pub(super) fn no_session(cluster: &Cluster, error: &NewSessionError) -> StoreError {
    let nodes = cluster.nodes.join(", ");
    if let Some(advice) = connection_of(error).and_then(|error| tls::advice(cluster, error)) {
        return StoreError::Broken(format!("cannot use the cluster at {nodes}: {advice}"));
    }
    let advice = match setup_of(error) {
        Some(ConnectionSetupRequestErrorKind::MissingAuthentication) => {
            return StoreError::Broken(format!(
                "the cluster at {nodes} wants a name and a password; give them in the URL: scylla://USER:PASSWORD@HOST:PORT/KEYSPACE, better in GUILDHALL_STORAGE than on the command line"
            ));
        }
        Some(ConnectionSetupRequestErrorKind::DbError(
            DbError::AuthenticationError | DbError::Unauthorized,
            _,
        )) => {
            let user = cluster.login.as_ref().map_or("", |(name, _)| name);
            return StoreError::Broken(format!(
                "the cluster at {nodes} refuses the password of \"{user}\"; correct name and password in the URL (percent-encode what is special in them), or make the role there: CREATE ROLE … WITH PASSWORD = … AND LOGIN = true"
            ));
        }
        _ => {
            "check that it runs, that HOST:PORT are those of CQL (native_transport_port, 9042 unless set otherwise), and that this machine may connect to it"
        }
    };
    StoreError::Broken(format!(
        "cannot reach a cluster at {nodes}: {error}; {advice}"
    ))
}

/// No session in time, and nobody said why.
pub(super) fn no_answer(cluster: &Cluster) -> StoreError {
    let nodes = cluster.nodes.join(", ");
    let advice = match cluster.tls {
        Some(_) => "check that HOST:PORT are those of CQL with TLS",
        None => "check that HOST:PORT are those of CQL, and whether it wants TLS (tls=on)",
    };
    StoreError::Broken(format!(
        "the cluster at {nodes} takes connections and does not answer; {advice}"
    ))
}

/// How the last connection that was tried came to its end.
fn connection_of(error: &NewSessionError) -> Option<&ConnectionError> {
    match error {
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error,
            },
        )) => Some(last_connection_error),
        _ => None,
    }
}

/// What a node said to the first requests of a connection, if it got so far.
fn setup_of(error: &NewSessionError) -> Option<&ConnectionSetupRequestErrorKind> {
    match connection_of(error)? {
        ConnectionError::ConnectionSetupRequestError(setup) => Some(setup.get_error()),
        _ => None,
    }
}

/// Why the keyspace cannot be used.
pub(super) fn no_keyspace(cluster: &Cluster, error: impl std::fmt::Display) -> StoreError {
    let keyspace = &cluster.keyspace;
    let advice = if cluster.create {
        "check that the user of the URL may use it"
    } else {
        "check its name, or open it once with create=true, which makes it"
    };
    StoreError::Broken(format!(
        "cannot use the keyspace {keyspace}: {error}; {advice}"
    ))
}

/// Warns when the server takes too small batches for some requests, as Apache Cassandra does unless
/// it is told otherwise. Servers that do not tell (ScyllaDB, Cassandra 3) are taken as good.
pub(super) async fn check_settings(session: &Session) {
    for (name, unit) in BATCH_FAIL {
        let Some(value) = setting(session, name).await else {
            continue;
        };
        metrics::gauge!("guildhall_store_cql_batch_bytes_max")
            .set(bytes(&value, unit).map_or(f64::NAN, |bytes| bytes as f64));
        if let Some(warning) = too_small(name, &value, unit) {
            tracing::warn!("{warning}");
        }
        return;
    }
}

/// A setting of the server, if it has one of that name and tells.
async fn setting(session: &Session, name: &str) -> Option<String> {
    let answer = session.query_unpaged(SETTING, (name,)).await.ok()?;
    let rows = answer.into_rows_result().ok()?;
    rows.maybe_first_row::<(Option<String>,)>()
        .ok()
        .flatten()
        .and_then(|(value,)| value)
}

/// What is to be said of this setting, if anything.
fn too_small(name: &str, value: &str, unit: u64) -> Option<String> {
    let bytes = bytes(value, unit)?;
    (bytes < BATCH_BYTES_NEEDED).then(|| {
        let set = match unit {
            1 => format!("{name}: {}KiB", BATCH_BYTES_NEEDED / 1024),
            _ => format!("{name}: {}", BATCH_BYTES_NEEDED / unit),
        };
        format!(
            "the cluster refuses batches above {value} ({name}); long messages and the deletion of large guilds are refused as too large (413): set \"{set}\" in cassandra.yaml of every node and restart them"
        )
    })
}

/// A size as the server writes it: a number in `unit`, or with the unit behind it.
fn bytes(text: &str, unit: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().ok()?;
    let unit = match &text[digits.len()..] {
        "" => unit,
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_read_as_servers_write_them() {
        for (text, unit, expected) in [
            ("50KiB", 1, Some(50 * 1024)),
            ("1024KiB", 1, Some(1024 * 1024)),
            ("1MiB", 1, Some(1024 * 1024)),
            ("2GiB", 1, Some(2 * 1024 * 1024 * 1024)),
            ("700B", 1, Some(700)),
            ("50", 1024, Some(50 * 1024)),
            ("", 1, None),
            ("KiB", 1, None),
            ("-1KiB", 1, None),
            ("1.5MiB", 1, None),
            ("1KB", 1, None),
            ("null", 1, None),
            ("99999999999999GiB", 1, None),
        ] {
            assert_eq!(bytes(text, unit), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_small_is_told_with_what_to_set() {
        let [(new, new_unit), (old, old_unit)] = BATCH_FAIL;
        let warning = too_small(new, "50KiB", new_unit).unwrap();
        assert!(warning.contains("\"batch_size_fail_threshold: 1024KiB\""));
        let warning = too_small(old, "50", old_unit).unwrap();
        assert!(warning.contains("\"batch_size_fail_threshold_in_kb: 1024\""));
        assert_eq!(too_small(new, "1024KiB", new_unit), None);
        assert_eq!(too_small(old, "1024", old_unit), None);
        // What cannot be read is no reason to worry anybody.
        assert_eq!(too_small(new, "null", new_unit), None);
    }

    #[test]
    fn a_start_that_fails_says_what_to_do() {
        let cluster = |text: &str| Cluster::parse(text).unwrap();
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error: refused.into(),
            },
        ));
        let told = no_session(&cluster("//ada:secret@db1:9042/hall"), &error).to_string();
        assert!(told.contains("db1:9042") && told.contains("check that it runs"));
        assert!(!told.contains("secret"), "{told}");
        let told = no_keyspace(&cluster("//h:1/hall?create=false"), "no such").to_string();
        assert!(
            told.contains("hall") && told.contains("create=true"),
            "{told}"
        );
        let told = no_keyspace(&cluster("//h:1/hall"), "no such").to_string();
        assert!(told.contains("may use it"), "{told}");
    }
}
