//! Which way bytes went, from what is known: what cuFile was forbidden, and what nvidia-fs counted.
//! cuFile itself does not say of a file or an I/O whether it was done directly, and its compat mode
//! does POSIX I/O through host memory without a word.

use crate::measure::gds::GdsPath;

use super::Controls;
use super::kernel::Module;

/// The path, and how that is known; `ours` are the reads and writes of the run.
pub fn judge(controls: Controls, before: Option<&Module>, after: Option<&Module>, ours: [u64; 2]) -> (GdsPath, String) {
    let say = |path, why: String| (path, why);
    if controls.posix {
        return say(GdsPath::Compat, "cuFile is set to plain POSIX I/O".to_owned());
    }
    if !controls.compat_allowed && !controls.falls_back {
        let why = "cuFile's compat mode was off, without which it refuses what it cannot do directly";
        return say(GdsPath::Direct, why.to_owned());
    }
    let [reads, writes] = ours;
    let made = format!("the run made {reads} reads and {writes} writes");
    match Module::between(before, after) {
        _ if before.is_none() && !controls.peer_to_peer => {
            say(GdsPath::Compat, "nvidia-fs is not loaded, so that cuFile goes through host memory".to_owned())
        }
        _ if before.is_none() => {
            let why = "compat mode is allowed, nvidia-fs is not loaded, and cuFile does not say whether it used PCI \
                       peer-to-peer instead";
            say(GdsPath::Unknown, why.to_owned())
        }
        Some([r, w]) if r >= reads && w >= writes && reads + writes > 0 => {
            say(GdsPath::Direct, format!("nvidia-fs counted {r} reads and {w} writes while {made}"))
        }
        Some([0, 0]) if reads + writes > 0 => {
            say(GdsPath::Compat, format!("nvidia-fs counted nothing while {made}: they went through host memory"))
        }
        Some([r, w]) => say(
            GdsPath::Unknown,
            format!("nvidia-fs counted {r} reads and {w} writes while {made}; the rest is unknown"),
        ),
        None => {
            let why = "compat mode is allowed and nvidia-fs does not count I/O; set its parameter rw_stats_enabled to 1, \
                       or CUFILE_ALLOW_COMPAT_MODE=false in the environment";
            say(GdsPath::Unknown, why.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_is_said_only_where_it_is_known() {
        let lax = Controls { compat_allowed: true, ..Controls::default() };
        let module = |reads, writes| Module { version: None, done: Some([reads, writes]) };
        let said =
            |controls, before: Option<&Module>, after: Option<&Module>| judge(controls, before, after, [10, 5]).0;
        let from = module(100, 0);
        assert_eq!(said(Controls::default(), None, None), GdsPath::Direct);
        assert_eq!(said(Controls { falls_back: true, ..Controls::default() }, None, None), GdsPath::Compat);
        assert_eq!(said(Controls { posix: true, ..Controls::default() }, Some(&from), Some(&from)), GdsPath::Compat);
        assert_eq!(said(lax, None, None), GdsPath::Compat);
        assert_eq!(said(Controls { peer_to_peer: true, ..lax }, None, None), GdsPath::Unknown);
        assert_eq!(said(lax, Some(&from), Some(&module(110, 5))), GdsPath::Direct);
        assert_eq!(said(lax, Some(&from), Some(&from)), GdsPath::Compat);
        assert_eq!(said(lax, Some(&from), Some(&module(109, 5))), GdsPath::Unknown);
        let silent = Module { version: None, done: None };
        assert_eq!(said(lax, Some(&silent), Some(&silent)), GdsPath::Unknown);
    }
}
