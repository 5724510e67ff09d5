//! The query of a gateway URL: `?v=10&encoding=json&compress=zlib-stream` (Discord docs, Gateway,
//! "Gateway URL Query String Params").

use super::compression::Mode;
use crate::protocol::CloseCode;

/// Version when none is asked for. Discord's own default is long gone; every client sends one.
const VERSION_DEFAULT: u8 = 10;

/// Close code and reason for a query that cannot be served.
pub(super) type Refused = (CloseCode, &'static str);

/// How a connection is to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query {
    /// 9 or 10; READY repeats it.
    pub(crate) version: u8,
    /// Compression of the whole stream.
    pub(crate) compression: Mode,
}

impl Query {
    /// Reads a query; unknown parameters are left alone.
    ///
    /// # Errors
    /// The close code and reason to end the connection with after the handshake (browsers cannot
    /// see why a handshake itself fails): 4012 for a version, encoding or compression that is not
    /// served, because coming back with the same is of no use.
    pub(crate) fn parse(query: &str) -> Result<Self, Refused> {
        let mut version = VERSION_DEFAULT;
        let mut compression = Mode::None;
        for (key, value) in query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        {
            match (key, value) {
                ("v", "9") => version = 9,
                ("v", "10") => version = 10,
                ("v", _) => {
                    return Err((
                        CloseCode::InvalidVersion,
                        CloseCode::InvalidVersion.reason(),
                    ));
                }
                ("encoding", "json" | "") => {}
                ("encoding", _) => {
                    return Err((
                        CloseCode::InvalidVersion,
                        "Unsupported encoding: use encoding=json.",
                    ));
                }
                ("compress", value) => {
                    compression = Mode::of_query(value).ok_or((
                        CloseCode::InvalidVersion,
                        "Unsupported compression: use zlib-stream or zstd-stream.",
                    ))?;
                }
                _ => {}
            }
        }
        Ok(Self {
            version,
            compression,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_and_unknown_parameters() {
        let query = Query {
            version: 9,
            compression: Mode::ZlibStream,
        };
        assert_eq!(
            Query::parse("encoding=json&v=9&compress=zlib-stream"),
            Ok(query)
        );
        assert_eq!(
            Query::parse("compress=zlib-stream&x&v=9&encoding=json"),
            Ok(query)
        );
        let query = Query {
            version: 10,
            compression: Mode::ZstdStream,
        };
        assert_eq!(Query::parse("v=10&compress=zstd-stream"), Ok(query));
        assert_eq!(
            Query::parse(""),
            Ok(Query {
                version: 10,
                compression: Mode::None
            })
        );
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for query in ["v=8", "v=", "v=11", "v=ten", "encoding=etf", "compress=br"] {
            assert_eq!(
                Query::parse(query).map_err(|(code, _)| code),
                Err(CloseCode::InvalidVersion)
            );
        }
    }
}
