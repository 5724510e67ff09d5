//! A node whose cluster takes encrypted connections only, and what a start says that does not come
//! together with it. Needs `tests/cassandra/run.sh --tls` or `--tls-clients`.

use std::path::Path;

use crate::cassandra::refused;
use crate::support::{Cluster, Process};

/// An option that names a file of the cluster's.
fn option(folder: &Path, name: &str, file: &str) -> String {
    format!("&{name}={}", folder.join(file).display())
}

/// Messages are written and read over TLS; and every connection that is not as both sides want it is
/// refused, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_over_tls_serves_and_says_what_is_wrong() {
    let Some(cluster) = Cluster::found() else {
        return;
    };
    let Some(files) = cluster.tls() else {
        return crate::support::cluster::skip("it needs tests/cassandra/run.sh --tls");
    };
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.keyspace(1);
    let process = Process::dev(
        directory.path(),
        &["--rate-limits", "off", "--storage", &url],
    );
    let (http, channel) = (process.http_a(), process.var("CHANNEL_ID"));
    let posted = http.post_message(channel, "in secrecy").await;
    let stored = http.all_messages(channel).await;
    assert_eq!(stored[0]["id"], posted["id"]);

    let (plain, _) = url.split_once("&tls=").unwrap();
    // Taken by whoever asks for no password; it must not be shown.
    let plain = plain.replace("scylla://", "scylla://ada:secret@");
    let ca = option(&files, "tls_ca", "ca.pem");
    let client =
        option(&files, "tls_cert", "client.pem") + &option(&files, "tls_key", "client-key.pem");
    let shown = if cluster.wants_certificates() {
        client.as_str()
    } else {
        ""
    };
    let named = format!("{plain}&tls=on{ca}{shown}&tls_name=cassandra.test");
    storage::engine::open(&named).await.unwrap();

    refused(&plain, "tls=on");
    let stranger = option(&files, "tls_ca", "other-ca.pem");
    let other = format!("{plain}&tls=on{stranger}{shown}");
    refused(&other, "the authority that signed it");
    let system = format!("{plain}&tls=on{shown}");
    refused(&system, "tls_ca=");
    let elsewhere = plain.replace("127.0.0.1", "127.0.0.2");
    refused(&format!("{elsewhere}&tls=on{ca}{shown}"), "tls_name=NAME");
    let misnamed = format!("{plain}&tls=on{ca}{shown}&tls_name=other.test");
    refused(&misnamed, "tls_name=NAME");
    if cluster.wants_certificates() {
        refused(&format!("{plain}&tls=on{ca}"), "tls_cert=FILE&tls_key=FILE");
        let unknown = option(&files, "tls_cert", "other-ca.pem")
            + &option(&files, "tls_key", "other-ca-key.pem");
        refused(
            &format!("{plain}&tls=on{ca}{unknown}"),
            "an authority in its truststore",
        );
    }
}
