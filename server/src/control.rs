//! The control socket: how the commands of an administrator reach a server that runs, and what they do
//! where none does.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    runtime::Runtime,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tracing::{debug, warn};

use crate::{
    administration::{Act, Administration, Answer, Refusal},
    data::{DataFolder, Lock},
    fault::Fault,
    limits::{
        ACT_BYTES_MAX, ACT_TIMEOUT, ADMINISTRATION_PATIENCE, ADMINISTRATORS_MAX, LAST_WORD_TIMEOUT,
    },
    storage::{Storage, StorageThread},
};

/// How often a server that starts or stops is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// The longest path that every system takes as the address of a socket.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The socket of a running server.
pub(crate) struct Control {
    path: PathBuf,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// A server as its administrator reaches it.
pub(crate) enum Administered {
    /// By the control socket.
    Running(PathBuf),
    /// By its files, which nobody else works with meanwhile.
    Stopped(Box<Stopped>),
}

/// A server that does not run, with its database open.
pub(crate) struct Stopped {
    runtime: Runtime,
    /// Both are there until the end, which takes them.
    administration: Option<Administration>,
    storage: Option<StorageThread>,
    _lock: Lock,
}

impl Control {
    /// Listens for administrators of the server in `data`. Without a socket the server works as well, so
    /// that a failure is said and no more.
    pub(crate) fn listen(data: &DataFolder, administration: Administration) -> Option<Self> {
        let path = data.control();
        let listener = match bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                warn!("a running server cannot be administered: {}: {error}", path.display());
                return None;
            }
        };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, Arc::new(administration), stopped));
        Some(Self { path, stop, serving })
    }

    /// Lets nobody in any more, and gives whoever is at work a moment.
    pub(crate) async fn close(self) {
        // A socket that somebody else has removed needs no removal.
        let _ = fs::remove_file(&self.path);
        drop(self.stop);
        if let Err(failed) = self.serving.await {
            warn!("the control socket ended by a bug: {failed}");
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    // Whoever has the lock of the folder is the only one to listen here.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = Address::of(path)?;
    let listener = UnixListener::bind(&address.path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(
    listener: UnixListener,
    administration: Arc<Administration>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut at_work = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = at_work.join_next() => {}
            accepted = listener.accept(), if at_work.len() < ADMINISTRATORS_MAX => match accepted {
                Ok((stream, _)) => {
                    at_work.spawn(converse(stream, Arc::clone(&administration)));
                }
                // Out of file descriptors, which ends when others end.
                Err(error) => {
                    debug!("an administrator could not be let in: {error}");
                    tokio::time::sleep(GLANCE).await;
                }
            },
        }
    }
    drop(listener);
    // Whoever asked for the end is to hear that it comes.
    let answered = async { while at_work.join_next().await.is_some() {} };
    let _ = timeout(LAST_WORD_TIMEOUT, answered).await;
    at_work.shutdown().await;
}

/// One request and its answer.
async fn converse(mut stream: tokio::net::UnixStream, administration: Arc<Administration>) {
    let me = rustix::process::geteuid().as_raw();
    let uid = match stream.peer_cred() {
        Ok(peer) if peer.uid() == me || peer.uid() == 0 => peer.uid(),
        _ => return,
    };
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read).take(ACT_BYTES_MAX);
    if !matches!(timeout(ACT_TIMEOUT, read.read_line(&mut line)).await, Ok(Ok(1..))) {
        return;
    }
    let answer = match serde_json::from_str::<Act>(&line) {
        Ok(act) => administration.perform(&act, uid).await,
        Err(_) => Answer::Refused(Refusal::Malformed),
    };
    if let Ok(mut answer) = serde_json::to_string(&answer) {
        answer.push('\n');
        // Whoever does not wait for the answer does not get it; it is done all the same.
        let _ = timeout(ACT_TIMEOUT, write.write_all(answer.as_bytes())).await;
    }
}

/// What the server that runs in the folder says of itself, if one does.
pub(crate) fn status(folder: &DataFolder) -> Option<Answer> {
    exchange(&folder.control(), &Act::Status).ok()
}

impl Administered {
    /// The server in a data folder: the one that runs there, or its files.
    pub(crate) fn reach(path: &Path) -> Result<Self, Fault> {
        let folder = DataFolder::open(path)?;
        let deadline = Instant::now() + ADMINISTRATION_PATIENCE;
        loop {
            match folder.lock() {
                Ok(lock) => {
                    let stopped = Stopped::open(&folder, lock)?;
                    return Ok(Self::Stopped(Box::new(stopped)));
                }
                Err(Fault::InUse(_)) => {}
                Err(fault) => return Err(fault),
            }
            if connect(&folder.control()).is_ok() {
                return Ok(Self::Running(path.to_owned()));
            }
            // Somebody has the lock and does not listen: a server that starts or stops, or a command.
            if Instant::now() >= deadline {
                return Err(Fault::NoControl(path.to_owned()));
            }
            sleep(GLANCE);
        }
    }

    /// Has it done, and gives the answer unless it is a refusal.
    pub(crate) fn asks(&self, act: &Act) -> Result<Answer, Fault> {
        let answer = match self {
            Self::Running(path) => {
                let asked = exchange(&DataFolder::open(path)?.control(), act);
                asked.map_err(|_| Fault::NoControl(path.clone()))?
            }
            Self::Stopped(stopped) => stopped.perform(act)?,
        };
        match answer {
            Answer::Refused(refusal) => Err(Fault::Administration(refusal)),
            answer => Ok(answer),
        }
    }

    /// Has something done that has no other answer.
    pub(crate) fn does(&self, act: &Act) -> Result<(), Fault> {
        match self.asks(act)? {
            Answer::Done => Ok(()),
            _ => Err(Fault::Administration(Refusal::Malformed)),
        }
    }

    /// Waits until no server works in the folder any more.
    pub(crate) fn awaits_end(&self) -> Result<(), Fault> {
        let Self::Running(path) = self else { return Ok(()) };
        let deadline = Instant::now() + ADMINISTRATION_PATIENCE;
        loop {
            match DataFolder::open(path)?.lock() {
                Ok(_lock) => return Ok(()),
                Err(Fault::InUse(_)) if Instant::now() < deadline => sleep(GLANCE),
                Err(fault) => return Err(fault),
            }
        }
    }
}

impl Stopped {
    fn open(folder: &DataFolder, lock: Lock) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.context("starting the runtime")?;
        let (storage, thread) = Storage::open(&folder.database())?;
        let administration = Administration::new(storage, folder.audit(), None);
        let (administration, storage) = (Some(administration), Some(thread));
        Ok(Self { runtime, administration, storage, _lock: lock })
    }

    fn perform(&self, act: &Act) -> Result<Answer, Fault> {
        let uid = rustix::process::getuid().as_raw();
        let administration = self.administration.as_ref().context("it has ended")?;
        Ok(self.runtime.block_on(administration.perform(act, uid)))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // With the last way to it the storage ends, and closes the database in order.
        drop(self.administration.take());
        if let Some(storage) = self.storage.take() {
            storage.join();
        }
    }
}

/// Asks a running server.
fn exchange(socket: &Path, act: &Act) -> io::Result<Answer> {
    let mut stream = connect(socket)?;
    stream.set_read_timeout(Some(ADMINISTRATION_PATIENCE))?;
    stream.set_write_timeout(Some(ADMINISTRATION_PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(act)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Address::of(socket)?.path)
}

/// The path of a socket, short enough to be its address.
struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    /// A long path is replaced by one through the open folder, which Linux has.
    fn of(socket: &Path) -> io::Result<Self> {
        let short = socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        match (socket.parent(), socket.file_name()) {
            (Some(parent), Some(name)) if !short => {
                let folder = File::open(parent)?;
                let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
                Ok(Self { path: path.join(name), _folder: Some(folder) })
            }
            _ => Ok(Self { path: socket.to_owned(), _folder: None }),
        }
    }
}
