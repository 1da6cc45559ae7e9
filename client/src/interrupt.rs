//! Ctrl-C while a command waits for somebody: exit 130, with the terminal as it was.

use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Held while the terminal's echo is off. Leaving then would leave it off.
pub(crate) static TERMINAL: Mutex<()> = Mutex::new(());

/// From here on an interrupt ends the process with `last_words` and exit code 130. Commands that only wait for the
/// agent need no such thing: they die of the signal, which a shell calls 130 as well.
pub(crate) fn watch(last_words: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let mut interrupts = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        runtime.block_on(interrupts.recv());
        let _terminal = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
        last_words();
        std::process::exit(130)
    })?;
    Ok(())
}
