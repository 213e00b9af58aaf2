//! Between two trials: every object back where it is when the clock starts.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::seed::mix;
use crate::stop::Stop;

use super::Stage;
use super::volume::Volume;
use super::writer::Writer;
use crate::replay::config::ReplayConfig;
use crate::replay::io::ring::BELL;
use crate::replay::plan::Plan;

/// How often, and how long each time, the end of the run before is waited for.
const TRIES: u32 = 200;
const WAIT_NS: u64 = 10_000_000;

impl Stage {
    /// Forgets where the run before put objects and writes those that must be there at the start
    /// again. All data of the trial differs from that of the trials before, so that what they left
    /// behind is never taken for it.
    ///
    /// # Errors
    /// A tier that fails, or an interruption.
    pub fn reset(
        &mut self,
        trial: u32,
        plan: &Plan,
        config: &ReplayConfig,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<()> {
        let began = Instant::now();
        self.silence()?;
        for folder in self.volumes.iter().filter_map(Volume::folder) {
            folder.remove_objects()?;
        }
        self.objects = self.no_objects();
        self.data_seed = mix(self.data_seed ^ mix(trial.into()));
        let mut writer = Writer::new(config.io_size_bytes as usize, stop);
        self.put_cold(&mut writer, &plan.cold, config.engine, progress)?;
        self.prepare_s = began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Hears the bell of the run before, which rings once more when its helpers have gone: the next
    /// run must not take it for its own.
    fn silence(&mut self) -> Result<()> {
        let mut heard = Vec::with_capacity(self.lane_slots() * self.lanes());
        for _ in 0..TRIES {
            self.ring.wait(WAIT_NS)?;
            self.ring.completions(&mut heard);
            if heard.drain(..).any(|(id, _)| id == BELL) {
                return Ok(());
            }
        }
        Err(Error::unavailable("the run before does not end; please report this, and run the trials one by one"))
    }
}
