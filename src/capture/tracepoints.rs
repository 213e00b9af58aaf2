//! Which tracepoints and fields a kernel has, and which way round that makes the programs go.
//! Read from the kernel's types (BTF) and never from its version: distributions backport.

use std::fmt;
use std::path::Path;

use libbpf_rs::btf::types::{FuncProto, Ptr, Struct, Typedef};
use libbpf_rs::btf::{Btf, BtfType, TypeId};

use crate::error::{Error, Result};

use super::rights::BTF;

/// The kernel's side as far as the programs of the block layer can be fitted to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracepoints {
    /// block_io_start, in the submitter's context (Linux 6.5).
    pub io_start: bool,
    /// block_rq_merge (Linux 5.11): requests that another one takes up.
    pub merge: bool,
    /// Request tracepoints begin with the queue, as before Linux 5.11.
    pub queue_is_first: bool,
    /// The disk is found through the queue (Linux 5.17), not through the request.
    pub disk_of_queue: bool,
    /// Where the bio stands among the arguments of block_bio_queue and block_bio_complete, for
    /// disks without requests; none without those tracepoints.
    pub bios: Option<(u32, u32)>,
    /// io_uring_submit_req, which shows an operation with its user_data (Linux 6.3).
    pub ring_submit: bool,
}

/// What was chosen for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What for, e.g. `birth`.
    pub purpose: &'static str,
    /// What serves it, and what follows where it is not the best.
    pub chosen: &'static str,
    /// It is not what a current kernel has, and says what follows.
    pub falls_back: bool,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.purpose, self.chosen)
    }
}

/// The types of the running kernel.
///
/// # Errors
/// [`crate::error::Kind::Unavailable`] without BTF.
pub fn kernel_types() -> Result<Btf<'static>> {
    Btf::from_vmlinux().map_err(|e| {
        Error::unavailable(format!("cannot read the kernel's types from {BTF}: {e}; `kvtrace doctor` says more"))
    })
}

impl Tracepoints {
    /// Those of the running kernel.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`] without BTF or without what no fallback replaces.
    pub fn of_kernel() -> Result<Self> {
        Self::of(&kernel_types()?)
    }

    /// Those of the kernel whose BTF a file holds: raw, as /sys/kernel/btf/vmlinux is, or the .BTF
    /// section of an ELF file.
    ///
    /// # Errors
    /// When the file cannot be read, holds no BTF, or lacks what no fallback replaces.
    pub fn of_file(path: &Path) -> Result<Self> {
        std::fs::File::open(path).map_err(|e| Error::reading(path, &e))?;
        let btf = Btf::from_path(path).map_err(|e| {
            Error::usage(format!(
                "{} holds no BTF ({e}); copy a kernel's {BTF}, or name a vmlinux with a .BTF section",
                path.display()
            ))
        })?;
        Self::of(&btf)
    }

    /// Decides everything from one kernel's types.
    ///
    /// # Errors
    /// When the tracepoints are missing that nothing replaces, or speak of requests in a way that
    /// is not known.
    pub fn of(btf: &Btf<'_>) -> Result<Self> {
        let issue = request_at(btf, "block_rq_issue")?;
        if request_at(btf, "block_rq_complete")? != 0 {
            return Err(unknown("block_rq_complete", "its first argument is not the request"));
        }
        let merge = prototype(btf, "block_rq_merge").is_some();
        let others = ["block_rq_insert", "block_rq_requeue"].into_iter().chain(merge.then_some("block_rq_merge"));
        for name in others {
            if request_at(btf, name)? != issue {
                return Err(unknown(name, "its arguments are not those of block_rq_issue"));
            }
        }
        let disk_of_queue = has_field(btf, "request_queue", "disk");
        if !disk_of_queue && !has_field(btf, "request", "rq_disk") {
            return Err(unknown("struct request", "neither it nor its queue knows its disk"));
        }
        let bio = |name| prototype(btf, name).and_then(|proto| position(btf, &proto, "bio"));
        Ok(Self {
            io_start: prototype(btf, "block_io_start").is_some(),
            merge,
            queue_is_first: issue > 0,
            disk_of_queue,
            bios: bio("block_bio_queue").zip(bio("block_bio_complete")),
            ring_submit: prototype(btf, "io_uring_submit_req").is_some(),
        })
    }

    /// What is used for what, for people and for the result.
    pub fn choices(&self) -> Vec<Choice> {
        let pick = |purpose, has: bool, best, fallback| Choice {
            purpose,
            chosen: if has { best } else { fallback },
            falls_back: !has,
        };
        vec![
            pick(
                "birth",
                self.io_start,
                "block_io_start, in the submitter's context",
                "block_rq_insert or block_rq_issue (no block_io_start): q2d begins later, and the task may be another \
                 one's (late_attr)",
            ),
            pick(
                "request",
                !self.queue_is_first,
                "the first argument of insert, issue, requeue and merge",
                "the second argument of insert, issue, requeue and merge, after the queue",
            ),
            pick("disk", self.disk_of_queue, "request->q->disk", "request->rq_disk (the queue has no disk)"),
            pick(
                "merged requests",
                self.merge,
                "block_rq_merge",
                "not seen (no block_rq_merge): they end as lost_complete when the kernel uses them again",
            ),
            pick(
                "disks without requests",
                self.bios.is_some(),
                "block_bio_queue and block_bio_complete",
                "cannot be watched (no block_bio_queue and block_bio_complete)",
            ),
        ]
    }
}

/// The prototype of a tracepoint, whose first parameter is the tracepoint's own.
fn prototype<'btf>(btf: &'btf Btf<'_>, name: &str) -> Option<FuncProto<'btf>> {
    let typedef = btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}"))?;
    FuncProto::try_from(typedef.next_type()?.next_type()?).ok()
}

/// Where a pointer to that struct stands among a tracepoint's arguments, counted from 0.
fn position(btf: &Btf<'_>, proto: &FuncProto<'_>, of: &str) -> Option<u32> {
    let points = |ty: TypeId| {
        let pointed = btf.type_by_id::<Ptr<'_>>(ty).and_then(|pointer| pointer.next_type());
        pointed.is_some_and(|pointed: BtfType<'_>| pointed.skip_mods_and_typedefs().name().is_some_and(|n| n == of))
    };
    let mut arguments = proto.iter().skip(1);
    arguments.position(|argument| points(argument.ty)).and_then(|at| u32::try_from(at).ok())
}

/// Where the request stands: 0, or 1 after the queue.
fn request_at(btf: &Btf<'_>, name: &str) -> Result<u32> {
    let proto = prototype(btf, name).ok_or_else(|| {
        Error::unavailable(format!(
            "this kernel has no {name} tracepoint, so requests cannot be followed; --fallback counts without it"
        ))
    })?;
    match position(btf, &proto, "request") {
        Some(at @ 0..=1) => Ok(at),
        _ => Err(unknown(name, "the request is not among its first two arguments")),
    }
}

fn has_field(btf: &Btf<'_>, of: &str, name: &str) -> bool {
    let found = btf.type_by_name::<Struct<'_>>(of);
    found.is_some_and(|found| found.iter().any(|member| member.name.is_some_and(|n| n == name)))
}

fn unknown(what: &str, why: &str) -> Error {
    Error::unavailable(format!(
        "this kernel's {what} is not one that kvtrace knows ({why}); --fallback counts without it"
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The types of a kernel with these tracepoints (name, arguments), compiled with clang; none
    /// where there is no clang.
    fn kernel(disk_in_queue: bool, tracepoints: &[(&str, &str)]) -> Option<Result<Tracepoints>> {
        let (of_queue, of_request) = if disk_in_queue { ("disk", "unused") } else { ("unused", "rq_disk") };
        let mut source = format!(
            "struct gendisk {{ int major; }};\nstruct request_queue {{ struct gendisk *{of_queue}; }};\n\
             struct request {{ struct request_queue *q; struct gendisk *{of_request}; }};\nstruct bio {{ int bi_opf; }};\n\
             struct request a; struct bio b; struct request_queue c;\n"
        );
        for (name, arguments) in tracepoints {
            source += &format!("typedef void (*btf_trace_{name})(void *, {arguments}); btf_trace_{name} v_{name};\n");
        }
        let folder = tempfile::tempdir().unwrap();
        let (text, object) = (folder.path().join("kernel.c"), folder.path().join("kernel.o"));
        std::fs::write(&text, source).unwrap();
        let flags = ["-g", "-O1", "-target", "bpf", "-c", "-o"];
        let Ok(built) = Command::new("clang").args(flags).arg(&object).arg(&text).status() else { return None };
        assert!(built.success(), "the types compile");
        Some(Tracepoints::of_file(&object))
    }

    const NEW: &str = "struct request *rq";
    const OLD: &str = "struct request_queue *q, struct request *rq";

    /// The request tracepoints with these arguments.
    fn requests(arguments: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut all: Vec<_> =
            ["block_rq_insert", "block_rq_issue", "block_rq_requeue"].map(|name| (name, arguments)).into();
        all.push(("block_rq_complete", "struct request *rq, int error, unsigned int nr_bytes"));
        all
    }

    #[test]
    fn a_new_kernel_needs_no_fallback() {
        let mut all = requests(NEW);
        all.extend([("block_rq_merge", NEW), ("block_io_start", NEW), ("block_bio_queue", "struct bio *bio")]);
        all.push(("block_bio_complete", "struct request_queue *q, struct bio *bio"));
        let Some(found) = kernel(true, &all) else { return };
        let wanted = Tracepoints {
            io_start: true,
            merge: true,
            queue_is_first: false,
            disk_of_queue: true,
            bios: Some((0, 1)),
            ring_submit: false,
        };
        assert_eq!(found.unwrap(), wanted);
        assert!(wanted.choices().iter().all(|choice| !choice.falls_back), "{:?}", wanted.choices());
    }

    #[test]
    fn an_old_kernel_is_served_by_what_it_has() {
        let Some(found) = kernel(false, &requests(OLD)) else { return };
        let found = found.unwrap();
        assert!(!found.io_start && !found.merge && found.queue_is_first && !found.disk_of_queue, "{found:?}");
        assert_eq!(found.bios, None);
        assert_eq!(found.choices().iter().filter(|choice| choice.falls_back).count(), 5);
        // Arguments changed together with a stable update, births and disks did not.
        let backported = kernel(false, &requests(NEW)).unwrap().unwrap();
        assert_eq!(backported, Tracepoints { queue_is_first: false, ..found });
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let mut mixed = requests(NEW);
        mixed[0].1 = OLD;
        let mut strange = requests(NEW);
        strange[3].1 = "struct request_queue *q, struct request *rq, unsigned int nr_bytes";
        for (what, tracepoints) in
            [("block_rq_insert", mixed), ("block_rq_complete", strange), ("block_rq_issue", Vec::new())]
        {
            let Some(found) = kernel(true, &tracepoints) else { return };
            let error = found.unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Unavailable);
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn this_kernel_and_files_without_types() {
        if super::super::rights::has_btf() {
            assert_eq!(Tracepoints::of_kernel().unwrap(), Tracepoints::of_file(Path::new(BTF)).unwrap());
        }
        assert_eq!(Tracepoints::of_file(Path::new("Cargo.toml")).unwrap_err().kind(), crate::error::Kind::Usage);
        assert_eq!(Tracepoints::of_file(Path::new("no-such-file")).unwrap_err().kind(), crate::error::Kind::Usage);
    }
}
