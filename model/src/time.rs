//! Wall-clock instants as Discord writes them: ISO 8601 with microseconds and `+00:00`.

pub use twilight_model::util::Timestamp;

/// The instant `unix_ms` milliseconds after 1970; instants outside the type's range become 1970.
pub fn from_unix_ms(unix_ms: u64) -> Timestamp {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| ms.checked_mul(1_000))
        .and_then(|micros| Timestamp::from_micros(micros).ok())
        .unwrap_or_else(epoch)
}

/// Unix milliseconds of `timestamp`.
pub fn unix_ms(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.as_micros() / 1_000).unwrap_or(0)
}

/// 1970-01-01T00:00:00Z.
pub fn epoch() -> Timestamp {
    Timestamp::from_micros(0).expect("zero microseconds is a valid instant")
}

/// The instant a client wrote in ISO 8601: `2026-11-22T10:13:54`, with or without a fraction, a
/// `Z` or an offset; a date alone is its midnight. No offset means UTC, as Discord reads it.
///
/// Use this, not [`Timestamp::parse`], for what clients send: that one wants 25 characters (it
/// refuses JavaScript's `…000Z`) and overlooks the offset.
///
/// # Errors
/// `None` when the text is no instant of the years 1–9999; answer DATE_TIME_TYPE_PARSE.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "00:00:00"),
    };
    let mut date = date.splitn(3, '-');
    let year = digits(date.next()?, 4, 1, 9_999)?;
    let month = digits(date.next()?, 2, 1, 12)?;
    let day = digits(date.next()?, 2, 1, days_in(year, month))?;

    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], offset_minutes(&rest[at..])?),
        None => (rest, 0),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let hour = digits(clock.next()?, 2, 0, 23)?;
    let minute = digits(clock.next()?, 2, 0, 59)?;
    let second = match clock.next() {
        Some(second) => digits(second, 2, 0, 59)?,
        None => 0,
    };
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(6)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let minutes = (days_from_epoch(year, month, day) * 24 + hour) * 60 + minute - offset;
    Timestamp::from_micros((minutes * 60 + second) * 1_000_000 + micros).ok()
}

/// Exactly `width` digits, in `min..=max`.
fn digits(text: &str, width: usize, min: i64, max: i64) -> Option<i64> {
    if text.len() != width || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| (min..=max).contains(n))
}

/// Minutes east of UTC out of `Z`, `+02:00`, `+0200` or `+02`.
fn offset_minutes(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        (_, "") => return Some(0),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 2 => (rest, "00"),
        None => rest.split_at_checked(2)?,
    };
    Some(sign * (digits(hours, 2, 0, 23)? * 60 + digits(minutes, 2, 0, 59)?))
}

/// Days of a month of the Gregorian calendar.
fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; the year is counted from March, so
/// that the leap day comes last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_clients_parse() {
        let at = from_unix_ms(1_795_342_417_349);
        let text = serde_json::to_string(&at).expect("serialises");
        assert!(
            text.starts_with("\"2026-11-22T") && text.ends_with("+00:00\""),
            "{text}"
        );
        assert_eq!(unix_ms(at), 1_795_342_417_349);
    }

    #[test]
    fn reads_what_clients_write() {
        let noon = 1_795_348_800_000;
        for text in [
            "2026-11-22T12:00:00.000000+00:00",
            "2026-11-22T12:00:00.000Z",
            "2026-11-22T12:00:00Z",
            "2026-11-22T12:00:00",
            "2026-11-22 12:00",
            "2026-11-22T14:30:00+02:30",
            "2026-11-22T07:00:00-0500",
        ] {
            assert_eq!(parse(text).map(unix_ms), Some(noon), "{text}");
        }
        assert_eq!(
            parse("2024-02-29").map(|at| at.iso_8601().to_string()),
            Some("2024-02-29T00:00:00.000000+00:00".to_owned())
        );
        assert_eq!(
            parse("1969-12-31T23:59:59.5Z").map(|at| at.as_micros()),
            Some(-500_000)
        );
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in [
            "",
            "now",
            "2023-02-29",
            "2026-13-01",
            "2026-1-1",
            "2026-11-22T24:00:00Z",
            "2026-11-22T12:00:00.Z",
            "2026-11-22T12:00:00+25:00",
            "2026-11-22T12:00:00Zulu",
            "0000-01-01",
            "2026-11-22T12:00:00+é",
            "é",
            "2026-11-22T",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        // At the edges an offset may lead outside the range; that must not panic.
        assert_eq!(parse("9999-12-31T23:59:59-23:59"), None);
        assert!(parse("0001-01-01T00:00:00+23:59").is_some());
    }
}
