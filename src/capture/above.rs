//! What is watched above the block layer: io_uring operations and system calls, and who dirtied
//! pages that others write back. Which of it the kernel offers is read from its BTF.

use std::collections::BTreeMap;

use libbpf_rs::btf::types::{FuncProto, Ptr, Struct, Typedef};
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_rs::{MapCore, MapFlags, MapType, ProgramMut};

use crate::error::Result;
use crate::measure::{Histogram, LogLinear};

use super::layout::{
    ASKED, BATCHES, CACHED, CALL_ENTER, CALL_FADVISE, CALL_FDATASYNC, CALL_FSYNC, CALL_READ, CALL_SUBMIT, CALL_WRITE,
    FSYNCS, SYSCALLS, TIMES, URINGS,
};
use super::probes::Probes;
use super::probes::skeleton::{KvtraceProgs, OpenKvtraceSkel, types};
use super::reading;

/// What the kernel offers above the block layer and somebody wants. The tracepoints' names differ
/// by kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Above {
    /// Tracepoint of an io_uring operation's submission; none leaves io_uring out.
    submit: Option<&'static str>,
    /// Whether operations that a worker takes over are shown.
    punts: bool,
    /// Whether operations say how much they moved.
    moved: bool,
    /// System calls.
    syscalls: bool,
    /// Tracepoint of a page that becomes dirty; none leaves writeback with who writes.
    dirty: Option<&'static str>,
}

impl Above {
    /// What of it there is. Writeback matters only where the target is not everybody.
    pub fn of_kernel(btf: &Btf<'_>, syscalls: bool, filtered: bool) -> Self {
        let has = |tracepoint: &str| typedef(btf, tracepoint).is_some();
        // Until 5.18 only the caller's own mark named an operation, and two may share one.
        let completes = points(btf, "io_uring_complete", 1, None);
        let submit = ["io_uring_submit_req", "io_uring_submit_sqe"]
            .into_iter()
            .find(|name| completes && points(btf, name, 0, Some("io_kiocb")));
        Self {
            submit,
            punts: submit.is_some() && points(btf, "io_uring_queue_async_work", 0, Some("io_kiocb")),
            moved: submit.is_some() && btf.type_by_name::<Struct<'_>>("io_cqe").is_some(),
            syscalls: syscalls && has("sys_enter") && !CALLS.is_empty(),
            dirty: ["writeback_dirty_folio", "writeback_dirty_page"].into_iter().find(|name| filtered && has(name)),
        }
    }

    /// Fits the programs to it, before they are loaded.
    ///
    /// # Errors
    /// When libbpf refuses, which is a defect of the programs.
    pub fn fit(self, open: &mut OpenKvtraceSkel<'_>, cgroups: usize) -> libbpf_rs::Result<()> {
        let programs = &mut open.progs;
        programs.on_uring_submit.set_autoload(self.submit.is_some());
        programs.on_uring_complete.set_autoload(self.submit.is_some());
        programs.on_uring_punt.set_autoload(self.punts);
        programs.on_sys_enter.set_autoload(self.syscalls);
        programs.on_sys_exit.set_autoload(self.syscalls);
        programs.on_dirty.set_autoload(self.dirty.is_some());
        if let Some(name) = self.submit {
            programs.on_uring_submit.set_attach_target(0, Some(name.to_owned()))?;
        }
        if let Some(name) = self.dirty {
            programs.on_dirty.set_attach_target(0, Some(name.to_owned()))?;
        }
        if cgroups == 0 {
            // A kernel without cgroups has no map of theirs.
            open.maps.target_cgroups.set_type(MapType::Array)?;
        }
        let knobs = open.maps.rodata_data.as_deref_mut().expect("libbpf holds .rodata until the object is loaded");
        knobs.cgroups_used = cgroups as u32;
        knobs.have_dirtiers = self.dirty.is_some();
        knobs.have_calls = self.syscalls;
        for (numbers, call) in CALLS {
            for number in *numbers {
                knobs.calls[*number] = *call;
            }
        }
        Ok(())
    }

    /// The programs to attach: ends before beginnings.
    pub fn programs<'a, 'b>(self, programs: &'a KvtraceProgs<'b>) -> Vec<&'a ProgramMut<'b>> {
        [
            (self.submit.is_some(), &programs.on_uring_complete),
            (self.punts, &programs.on_uring_punt),
            (self.submit.is_some(), &programs.on_uring_submit),
            (self.syscalls, &programs.on_sys_exit),
            (self.syscalls, &programs.on_sys_enter),
            (self.dirty.is_some(), &programs.on_dirty),
        ]
        .into_iter()
        .filter_map(|(wanted, program)| wanted.then_some(program))
        .collect()
    }

    /// The histograms of sets that were watched for; what was not is absent.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn histograms(self, probes: &Probes, sets: &[usize]) -> Result<Vec<Histogram>> {
        let uring = if self.submit.is_some() { URINGS } else { 0..0 };
        let (calls, syncs) = if self.syscalls { (SYSCALLS, FSYNCS) } else { (0..0, 0..0) };
        let times = uring.chain(calls).chain(syncs).map(|which| reading::time_row(probes, sets, which));
        let (cached, batches) = if self.syscalls { (CACHED, BATCHES..BATCHES + 1) } else { (0..0, 0..0) };
        let asked = if self.syscalls || self.moved { ASKED } else { 0..0 };
        let amounts = cached.chain(batches).chain(asked).map(|which| {
            let unit = if which == BATCHES { "ios" } else { "bytes" };
            let row = reading::times(probes, sets, which)?;
            Ok(reading::log_linear(row, TIMES[which], unit))
        });
        times.chain(amounts).collect()
    }

    /// How much each thread and each process asked for; nothing where calls were not watched.
    pub fn work(self, probes: &Probes) -> Vec<Histogram> {
        let threads = probes.work();
        let mut processes: BTreeMap<u32, u64> = BTreeMap::new();
        threads.iter().for_each(|&(process, work)| *processes.entry(process).or_default() += work);
        let counted = |name: &str, work: &mut dyn Iterator<Item = u64>| {
            let mut counter = LogLinear::times();
            work.for_each(|work| counter.record(work));
            counter.save(name, None, "ios")
        };
        if !self.syscalls {
            return Vec::new();
        }
        let threads = counted("thread", &mut threads.iter().map(|thread| thread.1));
        vec![threads, counted("process", &mut processes.into_values())]
    }
}

/// io_uring operations that have not ended, on any file.
pub fn uring_left(probes: &Probes) -> u64 {
    let sets = probes.maps().uring.lookup_batch(1024, MapFlags::ANY, MapFlags::ANY);
    let taken = |set: Vec<u8>| set[..8 * WAYS].chunks_exact(8).filter(|address| **address != [0; 8]).count() as u64;
    sets.map_or(0, |sets| sets.map(|(_, set)| taken(set)).sum())
}

/// Operations of a set (`KV_URING_WAYS`).
const WAYS: usize = std::mem::offset_of!(types::uring_ops, op) / 8;

/// Numbers of system calls by class (arch/x86/entry/syscalls/syscall_64.tbl): read pread64 readv
/// preadv preadv2, write pwrite64 writev pwritev pwritev2, fsync, fdatasync, fadvise64, io_submit
/// io_uring_enter.
#[cfg(target_arch = "x86_64")]
const CALLS: &[(&[usize], u8)] = &[
    (&[0, 17, 19, 295, 327], CALL_READ),
    (&[1, 18, 20, 296, 328], CALL_WRITE),
    (&[74], CALL_FSYNC),
    (&[75], CALL_FDATASYNC),
    (&[221], CALL_FADVISE),
    (&[209], CALL_SUBMIT),
    (&[426], CALL_ENTER),
];

/// The same in include/uapi/asm-generic/unistd.h.
#[cfg(target_arch = "aarch64")]
const CALLS: &[(&[usize], u8)] = &[
    (&[63, 67, 65, 69, 286], CALL_READ),
    (&[64, 68, 66, 70, 287], CALL_WRITE),
    (&[82], CALL_FSYNC),
    (&[83], CALL_FDATASYNC),
    (&[223], CALL_FADVISE),
    (&[2], CALL_SUBMIT),
    (&[426], CALL_ENTER),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: &[(&[usize], u8)] = &[];

fn typedef<'a>(btf: &'a Btf<'_>, tracepoint: &str) -> Option<Typedef<'a>> {
    btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{tracepoint}"))
}

/// Whether a tracepoint's argument is a pointer, to a struct of that name if one is given.
fn points(btf: &Btf<'_>, tracepoint: &str, argument: usize, to: Option<&str>) -> bool {
    let prototype = || -> Option<BtfType<'_>> {
        let pointer = typedef(btf, tracepoint)?.next_type()?.next_type()?;
        let prototype = FuncProto::try_from(pointer).ok()?;
        // The first one is the tracepoint's own.
        btf.type_by_id::<BtfType<'_>>(prototype.iter().nth(argument + 1)?.ty)
    };
    let Some(pointer) = prototype().and_then(|argument| Ptr::try_from(argument).ok()) else { return false };
    let Some(name) = to else { return true };
    let pointed = pointer.next_type().and_then(|pointed| Struct::try_from(pointed).ok());
    pointed.and_then(|pointed| pointed.name().map(|own| own == name)).unwrap_or(false)
}
