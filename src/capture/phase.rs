//! The phase of a running capture's target, said by another process: the capture listens on a
//! socket that has its process id in its name and lies in no folder, so that nothing is left
//! behind whatever becomes of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use crate::error::{Error, Result, plain};
use crate::trace::Phase;

/// What the name of a socket begins with, in the abstract namespace (unix(7)).
const NAME: &str = "kvtrace-capture-";
/// How long one side waits for the other's line: the capture looks every few hundredths of a
/// second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the capture waits for the line of somebody who has called.
const HASTE: Duration = Duration::from_millis(100);
/// Calls that are answered at once.
const CALLS: usize = 16;
/// The answer to a phase that was set.
const DONE: &str = "ok";
/// The word for no phase.
const NONE: &str = "none";

/// The word for a phase, or for none.
pub fn word(phase: Option<Phase>) -> String {
    phase.map_or_else(|| NONE.to_owned(), |phase| phase.word().to_lowercase())
}

/// The phase of a word.
fn parse(text: &str) -> Option<Option<Phase>> {
    [None].into_iter().chain(Phase::ALL.map(Some)).find(|phase| word(*phase) == text)
}

/// The listening end, at the capture.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
}

impl Listener {
    /// Listens for this process.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn open() -> Result<Self> {
        let made = address(std::process::id()).and_then(|address| UnixListener::bind_addr(&address));
        let socket = made.and_then(|socket| socket.set_nonblocking(true).map(|()| socket)).map_err(|e| {
            Error::unavailable(format!("cannot listen for `kvtrace mark`: {}; phases cannot be set", plain(&e)))
        })?;
        Ok(Self { socket })
    }

    /// Hands what was said since the last call to `set`, and its answer to who said it.
    pub fn poll(&self, mut set: impl FnMut(Option<Phase>) -> Result<()>) {
        for _ in 0..CALLS {
            let Ok((stream, _)) = self.socket.accept() else { return };
            // Who has gone before the answer has missed it.
            let _ = answer(stream, &mut set);
        }
    }
}

fn answer(mut stream: UnixStream, set: &mut impl FnMut(Option<Phase>) -> Result<()>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HASTE))?;
    stream.set_write_timeout(Some(HASTE))?;
    let (uid, own) = (peer_uid(stream.as_raw_fd())?, rustix::process::geteuid().as_raw());
    // Read before a refusal, too: closed with something unread, the socket would lose the words.
    let said = line(&mut stream)?;
    if uid != own && uid != 0 {
        return stream.write_all(format!("it belongs to user {own}, and you are user {uid}\n").as_bytes());
    }
    let reply = match parse(&said) {
        Some(phase) => set(phase).map_or_else(|error| error.to_string(), |()| DONE.to_owned()),
        None => format!("it knows no phase `{said}`"),
    };
    stream.write_all(format!("{reply}\n").as_bytes())
}

/// A line of at most some hundred bytes.
fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut text = Vec::new();
    stream.take(512).read_to_end(&mut text).or_else(|error| match error.kind() {
        // The other end is kept open for the answer; what is there is what was said.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(0),
        _ => Err(error),
    })?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// Sets the phase of the target of the capture with that process id, or of the only one that
/// runs. Returns once it holds.
///
/// # Errors
/// When no capture runs, several run and none was named, or it refuses.
pub fn mark(phase: Option<Phase>, capture: Option<u32>) -> Result<u32> {
    let pid = match capture {
        Some(pid) => pid,
        None => only(&running())?,
    };
    let lost = |error: &io::Error| match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Error::usage(format!(
            "no `kvtrace capture` with process id {pid} runs here; those that run: {}",
            list(&running())
        )),
        _ => Error::unavailable(format!("the capture with process id {pid} does not answer: {}", plain(error))),
    };
    let mut stream =
        address(pid).and_then(|address| UnixStream::connect_addr(&address)).map_err(|error| lost(&error))?;
    let reply = tell(&mut stream, phase).map_err(|error| lost(&error))?;
    match reply.as_str() {
        DONE => Ok(pid),
        why => Err(Error::unavailable(format!("the capture with process id {pid} did not take the phase: {why}"))),
    }
}

fn tell(stream: &mut UnixStream, phase: Option<Phase>) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    // Whoever refuses without listening has answered nevertheless.
    let _ = stream.write_all(format!("{}\n", word(phase)).as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let reply = line(stream)?;
    if reply.is_empty() { Err(ErrorKind::TimedOut.into()) } else { Ok(reply) }
}

fn only(running: &BTreeSet<u32>) -> Result<u32> {
    match running.first() {
        Some(pid) if running.len() == 1 => Ok(*pid),
        None => Err(Error::usage("no `kvtrace capture` runs here whose phase could be set")),
        Some(_) => {
            Err(Error::usage(format!("several captures run here: say which with --pid, one of {}", list(running))))
        }
    }
}

fn list(running: &BTreeSet<u32>) -> String {
    let pids: Vec<String> = running.iter().map(u32::to_string).collect();
    if pids.is_empty() { NONE.to_owned() } else { pids.join(", ") }
}

/// The process ids of the captures that listen (proc_net(5); an abstract name has a `@` before it).
fn running() -> BTreeSet<u32> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    of_table(&table)
}

fn of_table(table: &str) -> BTreeSet<u32> {
    let name = |line: &str| line.split_ascii_whitespace().nth(7)?.strip_prefix('@')?.strip_prefix(NAME)?.parse().ok();
    table.lines().filter_map(name).collect()
}

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{NAME}{pid}"))
}

/// The user at the other end when it connected (SO_PEERCRED in unix(7)).
fn peer_uid(socket: RawFd) -> io::Result<u32> {
    /// `SOL_SOCKET` and `SO_PEERCRED` of asm-generic/socket.h.
    const SOCKET: i32 = 1;
    const PEERCRED: i32 = 17;
    unsafe extern "C" {
        fn getsockopt(socket: i32, level: i32, name: i32, value: *mut u32, size: *mut u32) -> i32;
    }
    // struct ucred: process, user, group.
    let (mut credentials, mut size) = ([0u32; 3], 12u32);
    // SAFETY: both pointers are to live memory of the stated size, which the call does not keep.
    let got = unsafe { getsockopt(socket, SOCKET, PEERCRED, credentials.as_mut_ptr(), &raw mut size) };
    if got != 0 { Err(io::Error::last_os_error()) } else { Ok(credentials[1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_phases_and_nothing_else_is() {
        let words = ["none", "prefill", "decode", "evict"];
        for (text, phase) in words.into_iter().zip([None].into_iter().chain(Phase::ALL.map(Some))) {
            assert_eq!((word(phase).as_str(), parse(text)), (text, Some(phase)));
        }
        assert_eq!(parse("Prefill"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn captures_are_found_by_their_sockets() {
        let table = "Num RefCount Protocol Flags Type St Inode Path\n\
                     0: 00000002 00000000 00010000 0001 01 1 @kvtrace-capture-7\n\
                     0: 00000003 00000000 00000000 0001 03 2 @kvtrace-capture-7\n\
                     0: 00000002 00000000 00010000 0001 01 3 /tmp/kvtrace-capture-9\n\
                     0: 00000002 00000000 00010000 0001 01 4\n";
        assert_eq!(of_table(table), BTreeSet::from([7]));
        assert!(only(&BTreeSet::new()).is_err());
        assert_eq!(only(&BTreeSet::from([7])).unwrap(), 7);
        let error = only(&BTreeSet::from([7, 8])).unwrap_err().to_string();
        assert!(error.contains("--pid") && error.contains("7, 8"), "{error}");
    }

    #[test]
    fn what_is_said_is_heard_and_answered() {
        let listener = Listener::open().unwrap();
        let own = std::process::id();
        let teller = std::thread::spawn(move || {
            let set = mark(Some(Phase::Evict), Some(own));
            (set, mark(None, Some(own)))
        });
        let mut heard = Vec::new();
        while heard.len() < 2 {
            listener.poll(|phase| {
                heard.push(phase);
                if phase.is_none() { Err(Error::usage("not now")) } else { Ok(()) }
            });
            std::thread::sleep(Duration::from_millis(2));
        }
        let (set, refused) = teller.join().unwrap();
        assert_eq!(heard, [Some(Phase::Evict), None]);
        assert_eq!(set.unwrap(), own);
        assert!(refused.unwrap_err().to_string().contains("not now"));
        drop(listener);
        assert!(mark(None, Some(own)).is_err(), "nothing is left");
    }
}
