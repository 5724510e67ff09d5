//! Reading drafts and patches: what is taken, what is refused, which files stay.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::multipart::{FilesGuard, UploadedFile};

fn upload(payload: Value, files: &[u64]) -> Upload {
    let files = files.iter().map(|number| UploadedFile {
        number: *number,
        attachment: file(900 + number),
    });
    Upload {
        payload,
        files: files.collect(),
        guard: FilesGuard::empty(),
    }
}

fn file(id: u64) -> Attachment {
    Attachment {
        id: Id::new(id),
        filename: format!("{id}.txt"),
        description: None,
        content_type: None,
        size: 1,
        url: format!("/attachments/1/{id}/{id}.txt"),
        proxy_url: format!("/attachments/1/{id}/{id}.txt"),
        width: None,
        height: None,
        flags: 0,
    }
}

/// Files 1 and 2, and these embeds.
fn parts(embeds: Value) -> Parts {
    Parts {
        attachments: vec![file(1), file(2)],
        embeds: serde_json::from_value(embeds).unwrap(),
    }
}

fn read(payload: Value) -> Result<Draft> {
    draft(Id::new(7), &upload(payload, &[]))
}

#[test]
fn a_draft_is_read_whole() {
    let read = read(json!({
        "content": "hi", "tts": true, "nonce": 5, "enforce_nonce": true, "flags": 4096 + 1,
        "embeds": [{"title": "T"}],
        "message_reference": {"message_id": 9, "channel_id": "7", "fail_if_not_exists": false},
        "allowed_mentions": {"parse": []},
    }))
    .unwrap();
    assert_eq!(
        (read.content.as_str(), read.tts, read.enforce_nonce),
        ("hi", true, true)
    );
    assert_eq!(read.nonce, Some(Nonce::Integer(5)));
    assert_eq!(read.flags, 4096, "flags that cannot be set are ignored");
    assert_eq!(
        (read.reply_to, read.fail_if_not_exists),
        (Some(Id::new(9)), false)
    );
    assert_eq!(read.embeds.len(), 1);
    assert!(read.allowed_mentions.is_some());
}

#[test]
fn nothing_is_an_empty_message_and_null_is_nothing() {
    for payload in [
        json!({}),
        json!({"content": ""}),
        json!({"content": null, "embeds": null, "nonce": null}),
    ] {
        assert_eq!(read(payload).unwrap_err(), Refusal::EmptyMessage.into());
    }
}

#[test]
fn faults_are_found_in_every_part() {
    let refused = draft(
        Id::new(7),
        &upload(
            json!({
                "content": "x".repeat(2_001),
                "nonce": "n".repeat(26),
                "embeds": [{"title": "t".repeat(257)}],
                "components": [{"type": 9}],
                "message_reference": {"message_id": 9, "channel_id": 8},
                "tts": "loud",
            }),
            &[],
        ),
    );
    let shown = format!("{:?}", refused.unwrap_err());
    for part in [
        "content",
        "nonce",
        "embeds",
        "components",
        "message_reference",
        "tts",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn uploaded_files_are_described_by_number() {
    let read = draft(
        Id::new(7),
        &upload(
            json!({"attachments": [{"id": 0, "description": "first"}, {"id": "1"}]}),
            &[0, 1, 2],
        ),
    )
    .unwrap();
    let ids: Vec<u64> = read.attachments.iter().map(|file| file.id.get()).collect();
    assert_eq!(ids, [900, 901, 902]);
    assert_eq!(read.attachments[0].description.as_deref(), Some("first"));
    assert!(
        draft(
            Id::new(7),
            &upload(json!({"attachments": [{"id": 5}]}), &[0])
        )
        .is_err()
    );
}

#[test]
fn a_patch_keeps_what_is_listed_and_stores_paths() {
    let public = "http://chat.example";
    let existing = parts(json!([]));
    let kept = |payload, files: &[u64]| {
        let patch = patch(&upload(payload, files), &existing, public).unwrap();
        patch.attachments.map(|files| {
            files
                .into_iter()
                .map(|file| (file.id.get(), file.url))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(kept(json!({"content": "x"}), &[]), None);
    assert_eq!(kept(json!({"attachments": []}), &[]), Some(vec![]));
    assert_eq!(
        kept(json!({"attachments": [{"id": "2"}]}), &[]),
        Some(vec![(2, "/attachments/1/2/2.txt".to_owned())])
    );
    let ids: Vec<u64> = kept(json!({}), &[0])
        .unwrap()
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, [1, 2, 900]);
}

#[test]
fn a_patch_tells_absent_from_null() {
    let read = |payload| patch(&upload(payload, &[]), &Parts::default(), "").unwrap();
    assert_eq!(read(json!({})), MessagePatch::default());
    let emptied = read(json!({"content": null, "embeds": null, "components": []}));
    assert_eq!(emptied.content.as_deref(), Some(""));
    assert_eq!(emptied.embeds, Some(Vec::new()));
    assert_eq!(emptied.components, Some(Vec::new()));
}

#[test]
fn embeds_show_the_files_they_name() {
    let embed = json!({"image": {"url": "attachment://900.txt"},
        "thumbnail": {"url": "ATTACHMENT://901.txt"},
        "author": {"name": "a", "icon_url": "attachment://900.txt"},
        "footer": {"text": "f", "icon_url": "attachment://901.txt"}});
    let read = draft(
        Id::new(7),
        &upload(json!({"embeds": [embed.clone()]}), &[0, 1]),
    );
    let read = read.unwrap();
    let links: Vec<_> = read.embeds[0].pictures().map(|(_, link)| link).collect();
    let (first, second) = ("/attachments/1/900/900.txt", "/attachments/1/901/901.txt");
    assert_eq!(links, [first, second, first, second]);
    assert_eq!(read.attachments.len(), 2, "they are files of the message");
    for (key, payload) in [
        ("embeds", json!({"embeds": [embed.clone()]})),
        ("embed", json!({"embed": embed})),
    ] {
        let refused = draft(Id::new(7), &upload(payload, &[0])).unwrap_err();
        let shown = format!("{refused:?}");
        assert!(shown.contains("URL_TYPE_INVALID_SCHEME"), "{shown}");
        assert!(shown.contains(key), "{shown}");
    }
}

#[test]
fn a_patch_keeps_the_files_its_embeds_show() {
    let public = "http://chat.example";
    let existing = parts(json!([{"image": {"url": "/attachments/1/2/2.txt"}}]));
    let patched = |payload, files: &[u64]| {
        let patch = patch(&upload(payload, files), &existing, public).unwrap();
        let ids = |files: Vec<Attachment>| -> Vec<u64> {
            files.iter().map(|file| file.id.get()).collect()
        };
        let links = |embeds: Vec<Embed>| -> Vec<String> {
            let pictures = embeds.iter().flat_map(Embed::pictures);
            pictures.map(|(_, link)| link.to_owned()).collect()
        };
        (patch.attachments.map(ids), patch.embeds.map(links))
    };
    assert_eq!(
        patched(json!({"attachments": []}), &[]),
        (Some(vec![2]), None)
    );
    let sent_back = json!({"attachments": [],
        "embeds": [{"image": {"url": "http://chat.example/attachments/1/2/2.txt"}}]});
    let stored = vec!["/attachments/1/2/2.txt".to_owned()];
    assert_eq!(patched(sent_back, &[]), (Some(vec![2]), Some(stored)));
    let replaced = json!({"attachments": [{"id": 0}],
        "embeds": [{"image": {"url": "attachment://900.txt"}}]});
    let new = vec!["/attachments/1/900/900.txt".to_owned()];
    assert_eq!(patched(replaced, &[0]), (Some(vec![900]), Some(new)));
    let by_name = json!({"embeds": [{"image": {"url": "attachment://1.txt"}}]});
    let old = vec!["/attachments/1/1/1.txt".to_owned()];
    assert_eq!(patched(by_name, &[]), (None, Some(old)));
    let elsewhere =
        json!({"embeds": [{"image": {"url": "http://chat.example/attachments/1/3/3"}}]});
    let link = vec!["http://chat.example/attachments/1/3/3".to_owned()];
    assert_eq!(patched(elsewhere, &[]), (None, Some(link)));
}

#[test]
fn blanks_around_the_text_go() {
    assert_eq!(
        read(json!({"content": " \n a  b\t"})).unwrap().content,
        "a  b"
    );
    assert!(read(json!({"content": " \n"})).is_err(), "nothing is left");
    let edit = upload(json!({"content": " c "}), &[]);
    let patch = patch(&edit, &Parts::default(), "").unwrap();
    assert_eq!(patch.content.as_deref(), Some("c"));
}
