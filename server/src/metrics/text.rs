//! The counts as Prometheus reads them: text format 0.0.4.

use std::{
    fmt::{self, Display, Write},
    sync::atomic::Ordering::Relaxed,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    BOUNDS, Durations, Handshake, Introduction, Limit, Login, Metrics, Note, Registration,
    Resumption,
};
use crate::limits::IDLE_TIMEOUT;

/// What is not counted but looked at when somebody asks.
pub(crate) struct Snapshot<'a> {
    /// Requests that wait for the storage.
    pub(crate) storage_queue: usize,
    /// How long the storage took for each.
    pub(crate) storage: &'a Durations,
    /// The database with its log.
    pub(crate) database_bytes: u64,
    /// When the certificate ends.
    pub(crate) certificate_until: SystemTime,
}

impl Metrics {
    /// Everything, as text.
    pub(crate) fn to_text(&self, snapshot: &Snapshot<'_>) -> String {
        let mut text = Text(String::new());
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, snapshot);
        text.0
    }

    fn write(&self, text: &mut Text, snapshot: &Snapshot<'_>) -> fmt::Result {
        text.head("hither_build_info", "gauge", "The version that runs.")?;
        text.line("hither_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1)?;
        let started = seconds(self.started);
        text.one("process_start_time_seconds", "gauge", "When the server was started.", started)?;
        // A client that was killed says nothing, and is indistinguishable from one that is silent.
        let cut_off = format!("one that was cut off counts for {} s more", IDLE_TIMEOUT.as_secs());
        for (name, help, value) in [
            (
                "hither_connections",
                &*format!("Connections that stand; {cut_off}."),
                &self.connections,
            ),
            (
                "hither_logged_in",
                &*format!("Connections that somebody is logged in on; {cut_off}."),
                &self.logged_in,
            ),
            ("hither_handshakes_in_progress", "TLS handshakes under way.", &self.handshakes),
        ] {
            text.one(name, "gauge", help, value.load(Relaxed))?;
        }
        let retries = self.retries.load(Relaxed);
        let help = "Callers that were asked to prove their address (QUIC Retry).";
        text.one("hither_retries_sent_total", "counter", help, retries)?;
        self.write_outcomes(text)?;
        let name = "hither_limits_hit_total";
        text.head(name, "counter", "How often somebody came up against a bound.")?;
        text.each(name, "limit", Limit::TEXTS, &self.limits.read())?;
        text.head("hither_queue_length", "gauge", "What waits or is being worked on.")?;
        let queues = [snapshot.storage_queue as u64, self.computing.load(Relaxed)];
        text.each("hither_queue_length", "queue", &["storage", "computing"], &queues)?;
        text.durations("hither_storage_seconds", "From request to answer.", snapshot.storage)?;
        let (name, help) = ("hither_certificate_expiry_seconds", "When the certificate ends.");
        text.one(name, "gauge", help, seconds(snapshot.certificate_until))?;
        let help = "The size of the database with its log.";
        text.one("hither_database_bytes", "gauge", help, snapshot.database_bytes)
    }

    fn write_outcomes(&self, text: &mut Text) -> fmt::Result {
        let name = "hither_handshakes_total";
        text.outcomes(name, "TLS handshakes.", Handshake::TEXTS, &self.handshake_outcomes.read())?;
        let name = "hither_logins_total";
        text.outcomes(name, "Logins with a password.", Login::TEXTS, &self.logins.read())?;
        let name = "hither_recoveries_total";
        let counts = self.recoveries.read();
        text.outcomes(name, "Passwords set with a recovery code.", Login::TEXTS, &counts)?;
        let name = "hither_resumptions_total";
        let counts = self.resumptions.read();
        text.outcomes(name, "Sessions continued without one.", Resumption::TEXTS, &counts)?;
        let name = "hither_registrations_total";
        text.outcomes(name, "Registrations.", Registration::TEXTS, &self.registrations.read())?;
        let name = "hither_introductions_total";
        text.outcomes(name, "Introductions.", Introduction::TEXTS, &self.introductions.read())?;
        let name = "hither_paths_total";
        text.head(name, "counter", "Introductions by what stands in front of both ends.")?;
        for [caller, callee, outcome, count] in self.paths.read() {
            let labels = [("caller", &*caller), ("callee", &callee), ("outcome", &outcome)];
            text.line(name, &labels, count)?;
        }
        let name = "hither_notes_total";
        text.outcomes(name, "Contact requests and answers.", Note::TEXTS, &self.notes.read())
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) -> fmt::Result {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            write!(self.0, "{before}{label}=\"{text}\"")?;
        }
        let after = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{after} {value}")
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, kind, help)?;
        self.line(name, &[], value)
    }

    fn each(&mut self, name: &str, label: &str, texts: &[&str], counts: &[u64]) -> fmt::Result {
        let mut pairs = texts.iter().zip(counts);
        pairs.try_for_each(|(text, count)| self.line(name, &[(label, text)], count))
    }

    fn outcomes(&mut self, name: &str, help: &str, texts: &[&str], counts: &[u64]) -> fmt::Result {
        self.head(name, "counter", help)?;
        self.each(name, "outcome", texts, counts)
    }

    fn durations(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        self.head(name, "histogram", help)?;
        let mut below = 0;
        let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
        for (bucket, bound) in durations.buckets.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            below += bucket.load(Relaxed);
            self.line(&format!("{name}_bucket"), &[("le", &bound)], below)?;
        }
        let nanoseconds = durations.nanoseconds.load(Relaxed);
        let sum = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
        self.line(&format!("{name}_sum"), &[], sum)?;
        self.line(&format!("{name}_count"), &[], below)
    }
}

/// Seconds since 1970, as every time stands in metrics.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use hither_proto::wire::server::Nat;

    use super::*;

    #[test]
    fn every_line_is_one_that_prometheus_reads_and_every_series_stands_once() {
        let metrics = Metrics::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        metrics.tried(Nat::Symmetric, Nat::PortRestricted, false);
        let storage = Durations::default();
        let snapshot = Snapshot {
            storage_queue: 3,
            storage: &storage,
            database_bytes: 4096,
            certificate_until: UNIX_EPOCH,
        };
        let text = metrics.to_text(&snapshot);
        let (mut series, mut typed) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(about) = line.strip_prefix("# ") {
                typed = about.split(' ').nth(1).unwrap().to_owned();
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name.starts_with(&typed), "{line} belongs to {typed}");
            assert!(series.insert(name), "{line} stands twice");
        }
        for expected in [
            "hither_queue_length{queue=\"storage\"} 3",
            "hither_database_bytes 4096",
            "process_start_time_seconds 1700000000",
            "hither_logins_total{outcome=\"failed\"} 0",
            "hither_paths_total{caller=\"symmetric\",callee=\"port_restricted\",outcome=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} in {text}");
        }
    }

    #[test]
    fn buckets_hold_everything_up_to_their_bound() {
        let durations = Durations::default();
        for micros in [100, 101, 9_000_000] {
            durations.add(Duration::from_micros(micros));
        }
        let mut text = Text(String::new());
        text.durations("took", "Time.", &durations).unwrap();
        for line in [
            "took_bucket{le=\"0.0001\"} 1",
            "took_bucket{le=\"0.0005\"} 2",
            "took_bucket{le=\"5\"} 2",
            "took_bucket{le=\"+Inf\"} 3",
            "took_sum 9.000201",
            "took_count 3",
        ] {
            assert!(text.0.lines().any(|other| other == line), "{line} in {}", text.0);
        }
    }
}
