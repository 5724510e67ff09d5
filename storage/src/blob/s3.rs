//! Buckets of S3 and what speaks its protocol, through `object_store`.
//!
//! ```text
//! request ─▶ object_store: signs, repeats what failed ─▶ Http: time-outs, TLS by ring, counts ─▶ server
//! ```
//!
//! The HTTP client is made here: `object_store`'s own would bring another library for TLS, and its
//! one time-out holds for a whole download, which a slow reader rightly exceeds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ObjectStoreExt as _, RetryConfig};

use super::place::{Bucket, Credentials};
use super::{BlobError, Result, in_time};

mod unfinished;

/// Bytes of a part of an upload; S3 takes no smaller one but as the last.
pub(super) const PART_BYTES: usize = 5 * 1_024 * 1_024;

/// Longest time to a connection to the server.
const S3_CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// Longest time of the server without a byte; then the request has failed.
const S3_SILENCE_TIME_MAX: Duration = Duration::from_secs(15);
/// Times a request is repeated after 5xx and broken connections.
const S3_RETRIES_MAX: usize = 4;
/// Time from the first attempt on after which nothing is repeated any more.
const S3_RETRY_TIME_MAX: Duration = Duration::from_secs(20);
/// Longest pause between two attempts.
const S3_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Connections kept for the next request.
const S3_IDLE_CONNECTIONS_MAX: usize = 64;

/// Written at each start: whether address, bucket and credentials are right is known then, not at
/// the first upload. No key of a blob begins with a dot.
const MARK: &str = ".guildhall";

/// What of the environment counts, by the names all tools of S3 use.
const VARIABLES: [&str; 12] = [
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// How many of [`VARIABLES`] are no credentials.
const PLACES: usize = 4;

/// An open bucket.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) objects: Arc<AmazonS3>,
    /// For what `object_store` does not ask.
    client: object_store_http::Client,
    prefix: String,
}

/// Opens a bucket: it is there, and blobs can be written to it.
///
/// # Errors
/// [`BlobError::BadPlace`] for credentials that are missing or unreadable, [`BlobError::Failed`]
/// when the server is not there or refuses.
pub(super) async fn open(bucket: &Bucket) -> Result<S3> {
    let environment = VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?)))
        .collect();
    let (objects, client) = build(bucket, &environment).await?;
    let mark = match &*bucket.prefix {
        "" => Key::from(MARK),
        prefix => Key::from(format!("{prefix}/{MARK}")),
    };
    in_time(objects.put(&mark, "blobs of Guildhall\n".into())).await?;
    Ok(S3 {
        objects: Arc::new(objects),
        client,
        prefix: bucket.prefix.clone(),
    })
}

async fn build(
    bucket: &Bucket,
    environment: &BTreeMap<&str, String>,
) -> Result<(AmazonS3, object_store_http::Client)> {
    let (places, secrets) = VARIABLES.split_at(PLACES);
    let mut builder = set(AmazonS3Builder::new(), places, environment)?;
    builder = match &bucket.credentials {
        Credentials::Environment => {
            if !secrets[..1]
                .iter()
                .chain(&secrets[3..])
                .any(|name| environment.contains_key(name))
            {
                return Err(BlobError::BadPlace(
                    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or add credentials=FILE or credentials=instance"
                        .to_owned(),
                ));
            }
            set(builder, secrets, environment)?
        }
        Credentials::Instance => builder,
        Credentials::File(file, profile) => {
            let text = tokio::fs::read_to_string(file).await.map_err(|error| {
                BlobError::BadPlace(format!(
                    "cannot read credentials={}: {error}",
                    file.display()
                ))
            })?;
            let [id, secret, token] = read(&text, profile, file)?;
            let (Some(id), Some(secret)) = (id, secret) else {
                return Err(BlobError::BadPlace(format!(
                    "credentials={} has no aws_access_key_id and aws_secret_access_key in [{profile}]",
                    file.display()
                )));
            };
            let builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
            match token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
    };
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    let given = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let mut given = given.iter().filter_map(|name| environment.get(name));
    let endpoint = bucket.endpoint.as_ref().or_else(|| given.next());
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = client(plain)?;
    let built = builder
        .with_bucket_name(&bucket.name)
        .with_allow_http(plain)
        // Not every server that speaks S3 knows deletes in bulk, and we delete one at a time.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                max_backoff: S3_BACKOFF_MAX,
                ..BackoffConfig::default()
            },
            max_retries: S3_RETRIES_MAX,
            retry_timeout: S3_RETRY_TIME_MAX,
        })
        .with_http_connector(Http(client.clone()))
        .build();
    Ok((built?, client))
}

fn set(
    mut builder: AmazonS3Builder,
    names: &[&str],
    environment: &BTreeMap<&str, String>,
) -> Result<AmazonS3Builder> {
    for name in names {
        if let Some(value) = environment.get(name) {
            let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse()?;
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

/// Key id, secret and token of a profile in a file as the tools of AWS write it:
///
/// ```text
/// [default]
/// aws_access_key_id = …
/// aws_secret_access_key = …
/// ```
fn read(text: &str, profile: &str, file: &Path) -> Result<[Option<String>; 3]> {
    const NAMES: [&str; 3] = [
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
    ];
    let mut found = [None, None, None];
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
        } else if let Some(section) = line.strip_prefix('[') {
            inside = section.strip_suffix(']').map(str::trim) == Some(profile);
        } else if let Some((name, value)) = line.split_once('=') {
            let place = NAMES.iter().position(|known| *known == name.trim());
            if let Some(place) = place.filter(|_| inside) {
                found[place] = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            }
        } else {
            // The line itself may be a secret.
            return Err(BlobError::BadPlace(format!(
                "line {} of credentials={} is neither [PROFILE] nor NAME = VALUE",
                number + 1,
                file.display()
            )));
        }
    }
    Ok(found)
}

/// The HTTP client. `plain`: the server is reached without TLS, and a machine without root
/// certificates is no fault.
fn client(plain: bool) -> Result<object_store_http::Client> {
    // One provider for all TLS of the process; another part may have named it before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut client = object_store_http::Client::builder()
        .user_agent(concat!("guildhall/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(S3_CONNECT_TIME_MAX)
        .read_timeout(S3_SILENCE_TIME_MAX)
        .pool_max_idle_per_host(S3_IDLE_CONNECTIONS_MAX)
        .https_only(!plain);
    if plain {
        client = client.tls_certs_only([]);
    }
    let built = client.build();
    built.map_err(|error| BlobError::Failed(format!("no HTTP client: {error}")))
}

/// Gives `object_store` the client.
#[derive(Debug)]
struct Http(object_store_http::Client);

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Counted(self.0.clone())))
    }
}

/// Counts answers: what `object_store` repeats is seen here alone.
#[derive(Debug)]
struct Counted(object_store_http::Client);

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let answer = HttpService::call(&self.0, request).await;
        let status = match &answer {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(_) => "none".to_owned(),
        };
        metrics::counter!("guildhall_blob_requests_total", "status" => status).increment(1);
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_are_read_of_one_profile() {
        let text = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=B=\n\n[chat]\n  aws_access_key_id = C\naws_secret_access_key = D\naws_session_token = E\nregion = x\n";
        let file = Path::new("keys");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(text, "default", file).unwrap(),
            [some("A"), some("B="), None]
        );
        assert_eq!(
            read(text, "chat", file).unwrap(),
            [some("C"), some("D"), some("E")]
        );
        assert_eq!(read(text, "other", file).unwrap(), [None, None, None]);
        let error = read("[default]\ns3cret\n", "default", file).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[tokio::test]
    async fn a_bucket_without_credentials_is_refused_at_once() {
        let bucket = Bucket {
            name: "bucket".to_owned(),
            ..Bucket::default()
        };
        let error = build(&bucket, &BTreeMap::new()).await.unwrap_err();
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
        let half = BTreeMap::from([("AWS_ACCESS_KEY_ID", "A".to_owned())]);
        let error = build(&bucket, &half).await.unwrap_err();
        assert!(error.to_string().contains("Secret"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        let with_file = |profile: &str| Bucket {
            credentials: Credentials::File(file.clone(), profile.to_owned()),
            ..bucket.clone()
        };
        let error = build(&with_file("default"), &BTreeMap::new()).await;
        assert!(error.unwrap_err().to_string().contains("cannot read"));
        std::fs::write(&file, "[a]\naws_access_key_id=A\naws_secret_access_key=B\n").unwrap();
        let error = build(&with_file("default"), &BTreeMap::new()).await;
        assert!(error.unwrap_err().to_string().contains("[default]"));
        build(&with_file("a"), &BTreeMap::new()).await.unwrap();
    }

    #[tokio::test]
    async fn debug_output_has_no_secret() {
        let environment = BTreeMap::from([
            ("AWS_ACCESS_KEY_ID", "A".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "s3cret".to_owned()),
            ("AWS_SESSION_TOKEN", "t0ken".to_owned()),
        ]);
        let bucket = Bucket {
            name: "bucket".to_owned(),
            ..Bucket::default()
        };
        let built = build(&bucket, &environment).await.unwrap();
        let text = format!("{:?} {}", built.0, built.0);
        assert!(
            !text.contains("s3cret") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
