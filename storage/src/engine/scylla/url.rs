//! The URL of a cluster, read strictly: an operator's slip is told, not guessed around.
//!
//! ```text
//!  scylla://[user:password@]host:port[,host:port…]/keyspace[?option=value[&option=value…]]
//! ```

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use scylla::statement::Consistency;

/// Contact points a URL may name; the others are found through them.
pub const CONTACT_POINTS_MAX: usize = 16;

/// Longest name of a keyspace: what CQL allows.
const KEYSPACE_CHARS_MAX: usize = 48;

/// Where a cluster is and how to use it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Name and password, when the cluster asks for them.
    pub(super) login: Option<(String, String)>,
    /// `host:port` of some of its nodes.
    pub(super) nodes: Vec<String>,
    /// The keyspace all tables are in.
    pub(super) keyspace: String,
    /// How a keyspace that is not there is made.
    pub(super) replication: Replication,
    /// The datacenter whose nodes are asked; the keyspace is kept there.
    pub(super) datacenter: Option<String>,
    /// How many replicas must agree to a read and to a write.
    pub(super) consistency: Consistency,
    /// Whether keyspace and tables may be made and changed.
    pub(super) create: bool,
    /// What connections are encrypted with; `None`: they are not.
    pub(super) tls: Option<Tls>,
}

/// How a node proves who it is, and this program to it; see [`super::tls`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// File of the authorities that sign for nodes; `None`: those of the system.
    pub(super) ca: Option<PathBuf>,
    /// Files of the certificate this program shows, and of its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// The name all certificates of nodes are for, where they are not for their addresses.
    pub(super) name: Option<ServerName<'static>>,
}

/// The options whose names begin with `tls`, as they stand in the URL.
#[derive(Default)]
struct TlsOptions {
    on: bool,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    name: Option<ServerName<'static>>,
}

impl TlsOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("tls", "on") => self.on = true,
            ("tls", "off") => self.on = false,
            ("tls", _) => return Err("tls is on or off".to_owned()),
            ("tls_ca", file) => self.ca = Some(parse_file(name, file)?),
            ("tls_cert", file) => self.cert = Some(parse_file(name, file)?),
            ("tls_key", file) => self.key = Some(parse_file(name, file)?),
            ("tls_name", host) => {
                let parsed = ServerName::try_from(host.to_owned());
                self.name = Some(parsed.map_err(|_| "tls_name is no name of a host")?);
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Option<Tls>, String> {
        let client = match (self.cert, self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => return Err("tls_cert and tls_key belong together: give both".to_owned()),
        };
        let tls = Tls {
            ca: self.ca,
            client,
            name: self.name,
        };
        if self.on {
            Ok(Some(tls))
        } else if tls == Tls::default() {
            Ok(None)
        } else {
            // Whoever names an authority believes that the connection is encrypted.
            Err("options that begin with tls_ need tls=on".to_owned())
        }
    }
}

/// How many copies of each row a new keyspace gets, in each datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replication(pub(super) u8);

impl std::fmt::Debug for Cluster {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads what follows `scylla:`.
    ///
    /// # Errors
    /// What is wrong, for the operator; never with the password.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest
            .strip_prefix("//")
            .ok_or("\"//\" must follow \"scylla:\"")?;
        // First of all, and at the last @: whatever is quoted below has no part of a password, not
        // even of one that should have been encoded.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(parse_login(login)?), rest),
            None => (None, rest),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, keyspace) = rest
            .split_once('/')
            .ok_or("a keyspace must follow the hosts: scylla://HOST:PORT/KEYSPACE")?;
        let nodes = hosts
            .split(',')
            .map(parse_node)
            .collect::<Result<Vec<_>, _>>()?;
        if nodes.len() > CONTACT_POINTS_MAX {
            return Err(format!("more than {CONTACT_POINTS_MAX} hosts"));
        }
        let mut cluster = Self {
            login,
            nodes,
            keyspace: parse_keyspace(keyspace)?,
            replication: Replication(3),
            datacenter: None,
            consistency: Consistency::LocalQuorum,
            create: true,
            tls: None,
        };
        let mut tls = TlsOptions::default();
        let mut seen = Vec::new();
        for option in options.split('&').filter(|_| !options.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| format!("the option \"{option}\" has no value"))?;
            if seen.contains(&name) {
                return Err(format!("the option {name} stands twice"));
            }
            seen.push(name);
            if name.starts_with("tls") {
                tls.set(name, value)?;
            } else {
                cluster.set(name, value)?;
            }
        }
        cluster.tls = tls.finish()?;
        Ok(cluster)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("replication_factor", number) => {
                let factor = number
                    .parse()
                    .ok()
                    .filter(|factor| (1..=9).contains(factor));
                self.replication = Replication(factor.ok_or("replication_factor is 1 to 9")?);
            }
            ("datacenter", "") => return Err("datacenter is empty".to_owned()),
            ("datacenter", name) if name.chars().all(is_name_char) => {
                self.datacenter = Some(name.to_owned());
            }
            ("datacenter", _) => return Err("datacenter has letters no datacenter has".to_owned()),
            ("consistency", "local_quorum") => self.consistency = Consistency::LocalQuorum,
            ("consistency", "quorum") => self.consistency = Consistency::Quorum,
            ("consistency", _) => return Err("consistency is local_quorum or quorum".to_owned()),
            ("create", "true") => self.create = true,
            ("create", "false") => self.create = false,
            ("create", _) => return Err("create is true or false".to_owned()),
            (name, _) => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    format!(
        "unknown option \"{name}\"; known are replication_factor, datacenter, consistency, create, tls, tls_ca, tls_cert, tls_key and tls_name"
    )
}

/// Not relative to wherever the node is started: a file that is found only sometimes is a start that
/// fails only sometimes.
fn parse_file(name: &str, file: &str) -> Result<PathBuf, String> {
    let decoded = percent_decode_str(file).decode_utf8();
    let path = decoded.map(|path| PathBuf::from(path.into_owned()));
    path.ok()
        .filter(|path| path.is_absolute())
        .ok_or_else(|| format!("{name} is the path of a file, from / on"))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.'
}

fn parse_login(login: &str) -> Result<(String, String), String> {
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| "name or password are not UTF-8".to_owned())
    };
    let (name, password) = login
        .split_once(':')
        .ok_or("a password must follow the name: USER:PASSWORD@")?;
    if name.is_empty() {
        return Err("the name before the password is empty".to_owned());
    }
    if login.contains(['/', '?', '@', '#']) {
        return Err(
            "name and password are percent-encoded: %2F for /, %3F for ?, %40 for @, %23 for #"
                .to_owned(),
        );
    }
    Ok((decoded(name)?, decoded(password)?))
}

fn parse_node(node: &str) -> Result<String, String> {
    let wrong = || format!("\"{node}\" is not HOST:PORT");
    let (host, port) = node.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_name_char),
    };
    if good && port != 0 {
        Ok(node.to_owned())
    } else {
        Err(wrong())
    }
}

fn parse_keyspace(keyspace: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let good = keyspace.starts_with(|c: char| c.is_ascii_lowercase())
        && keyspace.chars().all(plain)
        && keyspace.len() <= KEYSPACE_CHARS_MAX;
    if good {
        Ok(keyspace.to_owned())
    } else {
        Err(format!(
            "\"{keyspace}\" is not the name of a keyspace: a small letter, then small letters, digits and _, at most {KEYSPACE_CHARS_MAX}"
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_whole_url() {
        let url = "//ada:p%40ss:w%2Frd@db1.example:9042,10.0.0.2:19042,[::1]:9042/guildhall?replication_factor=5&datacenter=eu-1&consistency=quorum&create=false";
        let cluster = Cluster::parse(url).unwrap();
        assert_eq!(
            cluster.login,
            Some(("ada".to_owned(), "p@ss:w/rd".to_owned()))
        );
        assert_eq!(
            cluster.nodes,
            ["db1.example:9042", "10.0.0.2:19042", "[::1]:9042"]
        );
        assert_eq!(cluster.keyspace, "guildhall");
        assert_eq!(cluster.replication, Replication(5));
        assert_eq!(cluster.datacenter.as_deref(), Some("eu-1"));
        assert_eq!(cluster.consistency, Consistency::Quorum);
        assert!(!cluster.create);
        assert!(!format!("{cluster:?}").contains("p@ss"));
        let short = Cluster::parse("//h:1/k").unwrap();
        assert_eq!(
            (short.replication, short.create, short.consistency),
            (Replication(3), true, Consistency::LocalQuorum)
        );
    }

    #[test]
    fn tls_is_off_unless_it_is_on() {
        let of = |options: &str| Cluster::parse(&format!("//h:1/k?{options}")).unwrap().tls;
        assert_eq!(of("tls=off"), None);
        assert_eq!(of("create=true"), None);
        assert_eq!(of("tls=on"), Some(Tls::default()));
        let all = of(
            "tls_key=/etc/k%20y.pem&tls_cert=/etc/c%26%40.pem&tls=on&tls_ca=/ca.pem&tls_name=db.example",
        );
        let expected = Tls {
            ca: Some("/ca.pem".into()),
            client: Some(("/etc/c&@.pem".into(), "/etc/k y.pem".into())),
            name: Some(ServerName::try_from("db.example").unwrap()),
        };
        assert_eq!(all, Some(expected));
        // Whatever may be asked for, it is not that nobody looks at certificates.
        for refused in [
            "tls_verify=off",
            "tls_insecure=on",
            "tls_skip_verify=true",
            "tls_name=*",
        ] {
            let parsed = Cluster::parse(&format!("//h:1/k?tls=on&{refused}"));
            assert!(parsed.is_err(), "{refused}");
        }
    }

    #[test]
    fn bad_urls_are_refused() {
        for bad in [
            "",
            "/",
            "host:9042/k",
            "//host:9042",
            "//host:9042/",
            "//host/k",
            "//:9042/k",
            "//host:0/k",
            "//host:65536/k",
            "//host:port/k",
            "//h:1,,h:2/k",
            "//h:1,/k",
            "//ho st:1/k",
            "//[::1:9042/k",
            "//[x]:9042/k",
            "//h:1/Key",
            "//h:1/1k",
            "//h:1/a-b",
            "//h:1/k;drop",
            "//h:1/k/l",
            "//user@h:1/k",
            "//:secret@h:1/k",
            "//u:%ff@h:1/k",
            "//u:sec/ret:secret@h:1/k",
            "//u:secret?secret=secret@h:1/k",
            "//u:secret@secret@h:1/k",
            "//u:secret#@h:1/k",
            "//u:secret,secret:9/k@",
            "//h:1/k?create",
            "//h:1/k?create=yes",
            "//h:1/k?create=true&create=true",
            "//h:1/k?create=true&",
            "//h:1/k?replication_factor=0",
            "//h:1/k?replication_factor=10",
            "//h:1/k?replication_factor=-1",
            "//h:1/k?datacenter=",
            "//h:1/k?datacenter=a'b",
            "//h:1/k?consistency=one",
            "//h:1/k?tls=true",
            "//h:1/k?tls=",
            "//h:1/k?tls",
            "//h:1/k?tls=on&tls=off",
            "//h:1/k?tls_ca=/ca.pem",
            "//h:1/k?tls=off&tls_ca=/ca.pem",
            "//h:1/k?tls_name=db.example",
            "//h:1/k?tls=on&tls_ca=",
            "//h:1/k?tls=on&tls_ca=ca.pem",
            "//h:1/k?tls=on&tls_ca=/%ff.pem",
            "//h:1/k?tls=on&tls_cert=/c.pem",
            "//h:1/k?tls=on&tls_key=/k.pem",
            "//h:1/k?tls=on&tls_name=",
            "//h:1/k?tls=on&tls_name=a%20b",
            "//h:1/k?tls=on&tls_name=db.example:9042",
            "//u:secret@h:1/k?tls=on&tls_key=secret.pem",
            "//h:1/k?unknown=1",
        ] {
            let refused = Cluster::parse(bad);
            assert!(refused.is_err(), "{bad}");
            assert!(!refused.unwrap_err().contains("secret"), "{bad}");
        }
        let many = vec!["h:1"; CONTACT_POINTS_MAX + 1].join(",");
        assert!(Cluster::parse(&format!("//{many}/k")).is_err());
        assert!(Cluster::parse(&format!("//h:1/{}", "k".repeat(49))).is_err());
    }
}
