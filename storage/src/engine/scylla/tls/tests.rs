//! Handshakes in memory: whose certificate is believed, for which names, and what is said otherwise.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;

/// What `make.sh` there has made: `node` is for db1.example and 10.0.0.1.
fn file(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
    format!("{folder}/{name}")
}

fn cluster(host: &str, options: &str) -> Cluster {
    let url = format!("//ada:secret@{host}:9042/hall?tls=on{options}");
    Cluster::parse(&url).unwrap()
}

/// With the authority that signed for the node.
fn good(host: &str, more: &str) -> Cluster {
    cluster(host, &format!("&tls_ca={}{more}", file("ca.pem")))
}

fn made(cluster: &Cluster) -> Result<Arc<ClientConfig>, String> {
    config(cluster.tls.as_ref().unwrap(), cluster)
}

fn node(clients: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates("", &PathBuf::from(file("node.pem"))).unwrap();
    let key = private_key(&PathBuf::from(file("node-key.pem"))).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if clients {
        let known = Arc::new(roots(Some(&PathBuf::from(file("ca.pem")))).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(known, provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// What the client is told when it calls the node at this address, as the driver does.
fn call(cluster: &Cluster, address: &str, node: ServerConfig) -> Result<(), String> {
    let called = ServerName::try_from(address.to_owned()).unwrap();
    let mut client = ClientConnection::new(made(cluster).unwrap(), called).unwrap();
    let mut server = ServerConnection::new(Arc::new(node)).unwrap();
    let told = |error: rustls::Error| {
        let error = ConnectionError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        advice(cluster, &error).unwrap()
    };
    let mut wire = Vec::new();
    for _ in 0..10 {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            // What the server does not like it says in its answer.
            drop(server.process_new_packets());
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut answer = &wire[..];
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().map_err(told)?;
        }
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(());
        }
    }
    panic!("the handshake does not end");
}

#[test]
fn a_node_is_believed_that_is_signed_for_and_for_what_was_called() {
    for (host, more, address) in [
        ("10.0.0.1", "", "10.0.0.1"),
        // A host of the URL, wherever it is; and one beside it.
        ("db1.example", "", "10.9.9.9"),
        ("10.0.0.7:9042,db1.example", "", "10.9.9.9"),
        ("10.0.0.7", "&tls_name=db1.example", "10.0.0.7"),
        ("10.0.0.7", "&tls_name=10.0.0.1", "10.0.0.7"),
    ] {
        let called = call(&good(host, more), address, node(false));
        assert_eq!(called, Ok(()), "{host} {more} {address}");
    }
}

#[test]
fn another_name_is_refused() {
    for (host, more, address) in [
        ("10.0.0.2", "", "10.0.0.2"),
        ("db2.example", "", "10.0.0.2"),
        ("xdb1.example", "", "10.0.0.2"),
        // The address of another node, which the URL names, is no name of this one.
        ("10.0.0.1", "", "10.0.0.2"),
        // A name that is given is the only one.
        ("10.0.0.1", "&tls_name=db2.example", "10.0.0.1"),
        ("db1.example", "&tls_name=db2.example", "10.0.0.1"),
    ] {
        let told = call(&good(host, more), address, node(false)).unwrap_err();
        assert!(told.contains("tls_name=NAME"), "{host} {more}: {told}");
        assert!(told.contains("db1.example"), "{host} {more}: {told}");
    }
}

#[test]
fn another_authority_is_refused_whatever_the_name() {
    for more in ["", "&tls_name=db1.example"] {
        let options = format!("&tls_ca={}{more}", file("other-ca.pem"));
        let told = call(&cluster("10.0.0.1", &options), "10.0.0.1", node(false)).unwrap_err();
        assert!(told.contains("other-ca.pem"), "{told}");
        assert!(told.contains("authority that signed it"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    // A certificate of a client is none of a node.
    let told = call(&good("10.0.0.1", "&tls_name=client"), "10.0.0.1", {
        let mut stranger = node(false);
        stranger.cert_resolver = Arc::new(Shows("client"));
        stranger
    })
    .unwrap_err();
    assert!(told.contains("not believed"), "{told}");
}

/// What a node without TLS says to a greeting of TLS: an error of CQL about its version.
#[test]
fn a_node_without_tls_is_told() {
    let cluster = good("10.0.0.1", "");
    let called = ServerName::try_from("10.0.0.1").unwrap();
    let mut client = ClientConnection::new(made(&cluster).unwrap(), called).unwrap();
    let answer =
        b"\x84\x00\x00\x00\x00\x00\x00\x00\x22\x00\x00\x00\x0a\x00\x1cInvalid or unsupported proto";
    client.read_tls(&mut &answer[..]).unwrap();
    let error = client.process_new_packets().unwrap_err();
    let error = ConnectionError::from(io::Error::new(io::ErrorKind::InvalidData, error));
    let told = advice(&cluster, &error).unwrap();
    assert!(told.contains("no TLS is spoken there"), "{told}");
    assert!(told.contains("client_encryption_options"), "{told}");
}

/// Shows this certificate.
#[derive(Debug)]
struct Shows(&'static str);

impl rustls::server::ResolvesServerCert for Shows {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let path = |end: &str| PathBuf::from(file(&format!("{}{end}.pem", self.0)));
        let chain = certificates("", &path("")).unwrap();
        let key = private_key(&path("-key")).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        Some(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))
    }
}

#[test]
fn a_certificate_of_the_client_is_shown_when_there_is_one() {
    let (cert, key) = (file("client.pem"), file("client-key.pem"));
    let shown = good("10.0.0.1", &format!("&tls_cert={cert}&tls_key={key}"));
    assert_eq!(call(&shown, "10.0.0.1", node(true)), Ok(()));
    // To one that does not ask too.
    assert_eq!(call(&shown, "10.0.0.1", node(false)), Ok(()));
    let told = call(&good("10.0.0.1", ""), "10.0.0.1", node(true)).unwrap_err();
    assert!(told.contains("tls_cert=FILE&tls_key=FILE"), "{told}");
}

#[test]
fn files_that_are_not_what_they_should_be_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let empty = write("empty.pem", "");
    let broken = write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n",
    );
    let locked = write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let garbled = write(
        "garbled.pem",
        "-----BEGIN PRIVATE KEY-----\nsecret*secret\n-----END PRIVATE KEY-----\n",
    );
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client-key.pem"));
    let other = file("node-key.pem");
    for (options, told) in [
        ("tls_ca=/nowhere/ca.pem".to_owned(), "No such file"),
        (format!("tls_ca={empty}"), "no certificate in it"),
        (format!("tls_ca={key}"), "no certificate in it"),
        (format!("tls_ca={broken}"), "cannot be used"),
        (
            format!("tls_ca={ca}&tls_cert={empty}&tls_key={key}"),
            "no certificate in it",
        ),
        (
            format!("tls_ca={ca}&tls_cert={cert}&tls_key={cert}"),
            "no private key in it",
        ),
        (
            format!("tls_ca={ca}&tls_cert={cert}&tls_key={locked}"),
            "without a passphrase",
        ),
        (
            format!("tls_ca={ca}&tls_cert={cert}&tls_key={garbled}"),
            "broken PEM",
        ),
        (
            format!("tls_ca={ca}&tls_cert={cert}&tls_key={other}"),
            "does not fit",
        ),
    ] {
        let error = made(&cluster("h", &format!("&{options}"))).unwrap_err();
        assert!(error.contains(told), "{options}: {error}");
        assert!(!error.contains("secret"), "{options}: {error}");
        assert!(!error.contains("c2VjcmV0"), "{options}: {error}");
    }
}

/// What may be lost is what a node said before it ended the connection.
#[test]
fn a_connection_that_ends_at_once_is_told() {
    let ended = |inside: io::Error| {
        let kind = BrokenConnectionErrorKind::FrameHeaderParseError(
            FrameHeaderParseError::HeaderIoError(inside),
        );
        ConnectionError::BrokenConnection(kind.into())
    };
    let reset = || ended(io::ErrorKind::ConnectionReset.into());
    let plain = Cluster::parse("//ada:secret@10.0.0.1:9042/hall").unwrap();
    let told = advice(&plain, &reset()).unwrap();
    assert!(told.contains("add tls=on"), "{told}");
    let told = advice(&good("10.0.0.1", ""), &reset()).unwrap();
    assert!(told.contains("tls_cert=FILE&tls_key=FILE"), "{told}");
    // With TLS 1.3 a node refuses a certificate after the handshake, in answer to the first request.
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    let told = advice(&good("10.0.0.1", ""), &ended(io::Error::other(alert))).unwrap();
    assert!(told.contains("CertificateRequired"), "{told}");
    assert!(told.contains("tls_cert=FILE&tls_key=FILE"), "{told}");
}

#[test]
fn what_is_no_fault_of_tls_is_told_elsewhere() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused).into();
    assert_eq!(advice(&good("10.0.0.1", ""), &refused()), None);
    let plain = Cluster::parse("//10.0.0.1:9042/hall").unwrap();
    assert_eq!(advice(&plain, &refused()), None);
}
