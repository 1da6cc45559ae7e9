//! Whether what is silent stays open behind translators that forget: connections are kept alive as often as the
//! measured memory asks for, and no oftener.

use std::{sync::Arc, time::Duration};

use hither_proto::observation::{KEEP_ALIVE, SILENCES, keep_alive};

use super::{
    Sim,
    tests::{AT_HOME, CALM, ROUND_TRIP},
};
use crate::wire::tls::{self, SERVER_NAME};

/// How long nobody says anything, and a second longer each time, so that every moment between two signs of life is met.
const SILENCE: Duration = Duration::from_secs(60 * 60);
const MOMENTS: u32 = 16;

const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

const WORD: &[u8] = b"still there?";

/// How long a word is under way after such a silence, if it arrives, between two homes whose translators remember for so
/// long, on a connection that is kept alive so often.
fn under_way(memory: Duration, kept: Option<Duration>, silence: Duration) -> Option<Duration> {
    let sim = Sim::new(1, CALM);
    let server = sim.machine(0, None);
    let machines = [1, 2].map(|number| sim.machine(number, AT_HOME));
    machines.iter().for_each(|machine| machine.is_forgotten_after(memory));
    let [one_at, other_at] = [0, 1].map(|at: usize| machines[at].seen_by(&server));
    machines[1].opens_towards(one_at);
    let mut transport = quinn::TransportConfig::default();
    // Given up by nobody: whether a word arrives is all that counts.
    transport.max_idle_timeout(None).keep_alive_interval(kept);
    let transport = Arc::new(transport);
    let [one, other] = machines.map(|machine| {
        let (mut answers, mut client) = (tls::any_server(), tls::trusting_client());
        answers.transport_config(transport.clone());
        client.transport_config(transport.clone());
        machine.endpoint(answers, client)
    });
    let clock = sim.clone();
    sim.spawn(async move {
        let Ok(dialled) = one.connect(other_at, SERVER_NAME) else { return };
        let Ok(connection) = dialled.await else { return };
        clock.sleep(silence).await;
        let Ok(mut stream) = connection.open_uni().await else { return };
        let said = stream.write_all(WORD).await.is_ok() && stream.finish().is_ok();
        assert!(said, "the connection stands at this end, whatever the other one hears");
        connection.closed().await;
    });
    let clock = sim.clone();
    let heard = sim.run(PATIENCE, async move {
        let connection = other.accept().await?.await.ok()?;
        let stood = clock.now();
        let word = connection.accept_uni().await.ok()?.read_to_end(WORD.len()).await.ok()?;
        // The other end had it half a round trip before this one, and began to be silent then.
        (word == WORD).then(|| clock.now() + ROUND_TRIP / 2 - stood - silence)
    });
    heard.flatten()
}

/// Whether a word is at the other end after half a round trip, whenever it is said.
fn is_open(memory: Duration, kept: Duration) -> bool {
    (0..MOMENTS).all(|moment| {
        let silence = SILENCE + Duration::from_secs(moment.into());
        under_way(memory, Some(kept), silence) == Some(ROUND_TRIP / 2)
    })
}

/// What a survey finds of a translator with such a memory.
fn measured(memory: Duration) -> Duration {
    let survived = SILENCES.into_iter().map(|silence| Duration::from_secs(silence.into()));
    survived.filter(|silence| *silence < memory).max().unwrap_or_default()
}

#[test]
fn an_idle_conversation_outlives_what_a_translator_remembers() {
    for seconds in [5, 12, 30, 60, 120, 300] {
        let memory = Duration::from_secs(seconds);
        assert!(is_open(memory, keep_alive(measured(memory))), "{memory:?}, measured");
        // Before anything has been measured, all but the first of these are safe.
        assert_eq!(is_open(memory, KEEP_ALIVE), memory > KEEP_ALIVE, "{memory:?}, not measured");
    }
}

#[test]
fn what_is_not_kept_alive_is_forgotten() {
    assert_eq!(under_way(Duration::from_secs(60), None, SILENCE), None);
}
