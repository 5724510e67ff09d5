//! The size of an image, read from the first bytes of its file: PNG, GIF, JPEG, WebP.

/// First bytes of a file that are looked at. The size of a JPEG stands behind its metadata, one
/// segment of which can be 64 KiB long.
pub(crate) const HEAD_BYTES: usize = 160 * 1_024;

/// Width and height in pixels; `None` when it is no image we know, or broken.
pub(crate) fn size(head: &[u8]) -> Option<(u32, u32)> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(head)
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some((u32::from(le16(head, 6)?), u32::from(le16(head, 8)?)))
    } else if head.starts_with(&[0xff, 0xd8]) {
        jpeg(head)
    } else if head.starts_with(b"RIFF") && head.get(8..12)? == b"WEBP" {
        webp(head)
    } else {
        None
    }
    .filter(|(width, height)| *width > 0 && *height > 0)
}

fn png(head: &[u8]) -> Option<(u32, u32)> {
    (head.get(12..16)? == b"IHDR").then_some(())?;
    Some((be32(head, 16)?, be32(head, 20)?))
}

/// Walks the segments to the frame header (SOF0–SOF15 without the three that are none).
fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *head.get(at)? != 0xff {
            at += 1;
        }
        while *head.get(at)? == 0xff {
            at += 1;
        }
        let marker = head[at];
        at += 1;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let height = be16(head, at + 3)?;
                let width = be16(head, at + 5)?;
                return Some((u32::from(width), u32::from(height)));
            }
            // Without a length of their own.
            0x01 | 0xd0..=0xd8 => {}
            // The picture begins or ends: no frame header came before.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(be16(head, at)?);
                at += length.max(2);
            }
        }
    }
}

fn webp(head: &[u8]) -> Option<(u32, u32)> {
    match head.get(12..16)? {
        b"VP8X" => Some((le24(head, 24)? + 1, le24(head, 27)? + 1)),
        b"VP8L" => {
            (*head.get(20)? == 0x2f).then_some(())?;
            let bits = u32::from_le_bytes(head.get(21..25)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8 " => {
            (head.get(23..26)? == [0x9d, 0x01, 0x2a]).then_some(())?;
            Some((
                u32::from(le16(head, 26)? & 0x3fff),
                u32::from(le16(head, 28)? & 0x3fff),
            ))
        }
        _ => None,
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 3)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

/// Types by extension: what an attachment is said to be, and what is shown inside a browser. The
/// name decides, not what the sender claims, so that the two never differ.
pub(crate) fn media_type(filename: &str) -> Option<&'static str> {
    let (_, extension) = filename.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/x-wav",
        "flac" => "audio/flac",
        "m4a" => "audio/mp4",
        "txt" | "log" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend([0, 0, 1, 0, 0, 0, 0, 7, 8, 6, 0, 0, 0]);
        assert_eq!(size(&png), Some((256, 7)));
        assert_eq!(size(b"GIF89a\x03\x00\x04\x01\0\0"), Some((3, 260)));
        let jpeg = [
            0xff, 0xd8, 0xff, 0xe0, 0x00, 0x04, 0xaa, 0xbb, 0xff, 0xc2, 0x00, 0x11, 0x08, 0x00,
            0x10, 0x00, 0x20,
        ];
        assert_eq!(size(&jpeg), Some((32, 16)));
        let mut webp = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0".to_vec();
        webp.extend([0x0f, 0, 0, 0x1f, 0, 0]);
        assert_eq!(size(&webp), Some((16, 32)));
    }

    #[test]
    fn broken_and_empty_files_have_no_size() {
        for head in [
            &b""[..],
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"GIF89a\0\0\0\0",
            b"\xff\xd8\xff",
            b"RIFF....WEBP",
            b"hi",
        ] {
            assert_eq!(size(head), None, "{head:?}");
        }
        let mut claims = vec![0xff, 0xd8];
        claims.extend([0xff, 0xe1, 0x00, 0x00].repeat(1_000));
        assert_eq!(size(&claims), None);
    }

    #[test]
    fn scripts_have_no_media_type() {
        for name in ["a.html", "a.svg", "a.js", "a.xhtml", "png", "a.exe"] {
            assert_eq!(media_type(name), None, "{name}");
        }
        assert_eq!(media_type("A.PNG"), Some("image/png"));
    }
}
