//! How bytes went between GPU memory and storage.

use crate::measure::gds::{GdsPath, GdsReport};

use super::Ended;
use crate::replay::config::GdsMode;
use crate::replay::gds::evidence::judge;
use crate::replay::gds::kernel::Module;
use crate::replay::gds::version;
use crate::replay::target::Target;

impl Ended<'_> {
    /// What cuFile did, or why it did nothing; none where nobody could expect it to.
    pub fn gds(&self) -> Option<GdsReport> {
        let (gds, count) = (&self.stage.gds, &self.tally.gds);
        let on_gpu = self.config.targets.iter().any(|target| matches!(target, Target::Gpu(_)));
        if !on_gpu && self.config.gds == GdsMode::Off {
            return None;
        }
        let asked = self.config.gds.word().to_owned();
        let Some(controls) = gds.controls() else {
            return Some(GdsReport { asked, why: gds.why_off().to_owned(), ..GdsReport::default() });
        };
        let [before, after] = count.module.each_ref().map(Option::as_ref);
        let (path, why) = judge(controls, before, after, count.calls);
        Some(GdsReport {
            path,
            why,
            asked,
            library: version().ok().flatten(),
            nvidia_fs: Module::read().map(|module| module.version.unwrap_or_else(|| "of unknown version".to_owned())),
            registered: gds.registered(),
            threads: count.threads,
            reads: count.calls[0],
            read_bytes: count.bytes[0],
            writes: count.calls[1],
            write_bytes: count.bytes[1],
            copied_back_bytes: count.copied_back,
        })
    }

    /// What a reader should know of that: that it was not direct, or is not known to have been, and
    /// that checking costs the GPU something.
    pub fn gds_notes(&self) -> Vec<String> {
        let Some(gds) = self.gds() else { return Vec::new() };
        let mut notes = Vec::new();
        match gds.path {
            GdsPath::Compat => notes.push(format!("GDS in compat mode: {}", gds.why)),
            GdsPath::Unknown => notes.push(format!("GDS, but not known to be direct: {}", gds.why)),
            GdsPath::Off if gds.asked != GdsMode::Off.word() => {
                notes.push(format!("--gds {}, but cuFile was not used: {}", gds.asked, gds.why));
            }
            GdsPath::Off | GdsPath::Direct => {}
        }
        if gds.registered == Some(false) {
            notes.push("cuFile could not register all GPU memory: it copies inside the GPU".to_owned());
        }
        if gds.copied_back_bytes > 0 {
            notes.push(format!(
                "{} of what cuFile moved was copied back from the GPU to be checked, beside the run and in no latency; \
                 --verify off leaves that out",
                crate::units::bytes(gds.copied_back_bytes)
            ));
        }
        notes
    }
}
