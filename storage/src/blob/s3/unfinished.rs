//! Multipart uploads that nobody completed: what a node that was killed leaves in a bucket.
//!
//! `object_store` aborts an upload but lists none, so the question is asked here: one page of the
//! oldest a bucket names, which the next start goes on with. Uploads that are young may be another
//! node's, and keys that are none of ours are somebody else's: both are left alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::time;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store_http::Method;

use super::S3;
use crate::blob::{BlobError, Result, in_time, key};

/// Longest answer to the question for uploads, in bytes: a page of a thousand has half of it.
const LISTING_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// How long the question can be asked after it was signed.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// An upload as the bucket names it.
#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    key: String,
    id: String,
    /// Unix milliseconds.
    began_ms: u64,
}

impl S3 {
    /// See [`crate::blob::BlobStore::abort_unfinished`].
    pub(in crate::blob) async fn abort_unfinished(&self, age: Duration) -> Result<usize> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let before = now.unwrap_or_default().saturating_sub(age).as_millis();
        let before = u64::try_from(before).unwrap_or(u64::MAX);
        let listing = in_time(self.listing()).await?;
        let mut aborted = 0;
        for upload in parse(&listing) {
            if upload.began_ms <= before && self.is_ours(&upload.key) {
                let place = Path::from(upload.key);
                in_time(self.objects.abort_multipart(&place, &upload.id)).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }

    fn is_ours(&self, name: &str) -> bool {
        let below = match &*self.prefix {
            "" => Some(name),
            prefix => name
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        below.is_some_and(|key| key::check(key).is_ok())
    }

    async fn listing(&self) -> Result<String> {
        let mut query = vec![("uploads", String::new())];
        if !self.prefix.is_empty() {
            query.push(("prefix", format!("{}/", self.prefix)));
        }
        let options = SignedUrlOptions::default().with_query(query);
        let bucket = Path::from("");
        let signed = self
            .objects
            .signed_url_opts(Method::GET, &bucket, SIGNED_FOR, &options)
            .await?;
        // The URL is as good as a password for a minute: no error may show it.
        let failed = |error: object_store_http::Error| {
            BlobError::Failed(format!("uploads cannot be listed: {}", error.without_url()))
        };
        let mut answer = self.client.get(signed).send().await.map_err(failed)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&piece);
            if body.len() > LISTING_BYTES_MAX {
                break;
            }
        }
        if !status.is_success() {
            let why = format!("uploads cannot be listed: the server answers {status}");
            return Err(BlobError::Failed(why));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The uploads of a listing (S3 API, ListMultipartUploads). What is cut off or not understood is left
/// out.
fn parse(listing: &str) -> Vec<Unfinished> {
    let uploads = listing.split("<Upload>").skip(1);
    let uploads = uploads.filter_map(|rest| rest.split_once("</Upload>"));
    uploads
        .filter_map(|(upload, _)| {
            let began = time::parse(&value(upload, "Initiated")?)?;
            Some(Unfinished {
                key: value(upload, "Key")?,
                id: value(upload, "UploadId")?,
                began_ms: time::unix_ms(began),
            })
        })
        .collect()
}

fn value(upload: &str, tag: &str) -> Option<String> {
    let (_, rest) = upload.split_once(&format!("<{tag}>"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>"))?;
    let mut text = text.to_owned();
    // The ampersand last: what it begins must not be read twice.
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let upload = "<Upload><Key>1/2/a.png</Key><UploadId>x&amp;lt;y&quot;</UploadId><Initiator><ID>i</ID></Initiator><Initiated>2026-11-22T10:13:54.000Z</Initiated></Upload>";
        let cut = "<Upload><Key>1/3/b</Key>";
        let odd =
            "<Upload><Key>1/4/c</Key><UploadId>u</UploadId><Initiated>soon</Initiated></Upload>";
        let listing = format!("<?xml?><ListMultipartUploadsResult>{odd}{upload}{cut}");
        assert_eq!(
            parse(&listing),
            [Unfinished {
                key: "1/2/a.png".to_owned(),
                id: "x&lt;y\"".to_owned(),
                began_ms: 1_795_342_434_000,
            }]
        );
        assert!(parse("").is_empty() && parse("<Upload></Upload>").is_empty());
    }
}
