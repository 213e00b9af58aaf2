//! One CUDA device: its memory, two streams, and the copies in them.

use std::collections::VecDeque;
use std::ffi::{CStr, c_void};

use cudarc::driver::result::{self, DriverError, event, stream};
use cudarc::driver::sys::{self, CUdevice_attribute, CUevent, CUevent_flags, CUresult, CUstream};
use serde_json::json;

use crate::error::{Error, Result};
use crate::units;

use super::anchor::Anchor;
use super::context::Context;
use super::{Device, Ended, Facts, IN_STREAM, Transfer, Way, unavailable};
use crate::replay::io::memory::Region;

/// The anchor is moved to a later copy after this time: the distance of two events comes as a
/// 32-bit number of milliseconds, which is exact to a microsecond only up to 16 s.
const ANCHORED_NS: i64 = 1_000_000_000;
/// Tries of finding the anchor's moment; the closest one counts.
const TRIES: u32 = 16;

/// A copy in a stream.
struct Copy {
    slot: u32,
    queued: u64,
    began: CUevent,
    ended: CUevent,
}

/// One direction.
struct Lane {
    way: Way,
    stream: CUstream,
    copies: VecDeque<Copy>,
    spare: Vec<(CUevent, CUevent)>,
    /// When the latest copies of it began and ended.
    latest: VecDeque<(u64, u64)>,
}

/// A CUDA device that stands for a tier.
pub struct Gpu {
    tier: usize,
    number: u32,
    device: sys::CUdevice,
    context: sys::CUcontext,
    memory: Option<(sys::CUdeviceptr, u64)>,
    pinned: Vec<*mut c_void>,
    lanes: Vec<Lane>,
    anchor: Anchor,
    anchor_event: CUevent,
    facts: Facts,
    notes: Vec<String>,
}

/// What the driver says, in one line: the name of the error and its words.
pub(super) fn words(error: DriverError) -> String {
    let text = |found: Result<&CStr, DriverError>| found.map(|text| text.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(words)) => format!("{name}: {words}"),
        _ => format!("CUDA error {}", error.0 as u32),
    }
}

/// Nanoseconds from one event to another, which may have been before it.
fn between(from: CUevent, to: CUevent) -> Result<i64, DriverError> {
    // SAFETY: both events are ours, recorded, and not destroyed.
    let ms = unsafe { event::elapsed(from, to) }?;
    Ok((f64::from(ms) * 1e6) as i64)
}

/// The devices of the CUDA driver, or why there are none.
///
/// # Errors
/// No driver, or one that does not start.
pub fn devices() -> Result<Vec<Device>, String> {
    // SAFETY: only looks for the library by its names and opens it; nothing of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err("no CUDA driver (libcuda.so) is here".to_owned());
    }
    let found =
        result::init().and_then(|()| (0..result::device::get_count()?).map(describe).collect::<Result<Vec<_>, _>>());
    match found {
        Ok(devices) if devices.is_empty() => Err("the CUDA driver has no device".to_owned()),
        Ok(devices) => Ok(devices),
        Err(error) => Err(format!("the CUDA driver does not start ({})", words(error))),
    }
}

fn describe(number: i32) -> Result<Device, DriverError> {
    let device = result::device::get(number)?;
    // SAFETY: the device is what the driver just returned for a number that it has.
    let memory_bytes = unsafe { result::device::total_mem(device) }? as u64;
    Ok(Device { name: result::device::get_name(device)?, memory_bytes })
}

impl Gpu {
    /// Opens a device for a tier.
    ///
    /// # Errors
    /// No driver or no such device.
    pub fn open(tier: usize, number: u32) -> Result<Self> {
        super::check(tier, number)?;
        Self::open_device(tier, number).map_err(|error| unavailable(tier, number, &words(error)))
    }

    fn open_device(tier: usize, number: u32) -> Result<Self, DriverError> {
        let device = result::device::get(number as i32)?;
        // SAFETY: the device is what the driver just returned for a number that it has.
        let context = unsafe { result::primary_ctx::retain(device) }?;
        let mut gpu = Self {
            tier,
            number,
            device,
            context,
            memory: None,
            pinned: Vec::new(),
            lanes: Vec::new(),
            anchor: Anchor::default(),
            anchor_event: std::ptr::null_mut(),
            facts: Facts::new(),
            notes: Vec::new(),
        };
        gpu.enter()?;
        gpu.anchor_event = event::create(CUevent_flags::CU_EVENT_DEFAULT)?;
        for way in [Way::In, Way::Out] {
            let stream = stream::create(stream::StreamKind::NonBlocking)?;
            let (copies, latest) = (VecDeque::with_capacity(IN_STREAM), VecDeque::with_capacity(IN_STREAM));
            gpu.lanes.push(Lane { way, stream, copies, spare: Vec::with_capacity(IN_STREAM), latest });
            for _ in 0..IN_STREAM {
                let pair =
                    (event::create(CUevent_flags::CU_EVENT_DEFAULT)?, event::create(CUevent_flags::CU_EVENT_DEFAULT)?);
                gpu.lanes.last_mut().expect("it was added").spare.push(pair);
            }
        }
        gpu.learn_facts()?;
        Ok(gpu)
    }

    /// Makes the device the one that this thread's calls are about.
    fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained until `self` is dropped.
        unsafe { result::ctx::set_current(self.context) }
    }

    fn learn_facts(&mut self) -> Result<(), DriverError> {
        // SAFETY: the device is one that the driver has.
        let total = unsafe { result::device::total_mem(self.device) }?;
        self.facts.insert("device".to_owned(), json!(result::device::get_name(self.device)?));
        self.facts.insert("device_memory_bytes".to_owned(), json!(total));
        let (mut version, mut bus) = (0, [0; 32]);
        // SAFETY: both calls write what they are given room for.
        let known = unsafe {
            (
                sys::cuDriverGetVersion(&raw mut version).result(),
                sys::cuDeviceGetPCIBusId(bus.as_mut_ptr(), bus.len() as i32, self.device).result(),
            )
        };
        if known.0.is_ok() {
            let text = format!("{}.{}", version / 1000, version % 1000 / 10);
            self.facts.insert("driver_cuda_version".to_owned(), json!(text));
        }
        if known.1.is_ok() {
            let id: String = bus.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect();
            let link = |what: &str| {
                let path = format!("/sys/bus/pci/devices/{}/{what}", id.to_lowercase());
                std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
            };
            self.facts.insert("pcie_link_speed".to_owned(), json!(link("current_link_speed")));
            self.facts.insert("pcie_link_width".to_owned(), json!(link("current_link_width")));
            self.facts.insert("pci_bus_id".to_owned(), json!(id));
        }
        // SAFETY: as above.
        let engines = unsafe {
            let wanted = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT;
            result::device::get_attribute(self.device, wanted)
        };
        self.facts.insert("copy_engines".to_owned(), json!(engines.ok()));
        Ok(())
    }

    /// Free memory of the device.
    ///
    /// # Errors
    /// What the driver says.
    pub fn free_bytes(&self) -> Result<u64, String> {
        let asked = self.enter().and_then(|()| result::mem_get_info());
        asked.map(|(free, _)| free as u64).map_err(words)
    }

    /// Takes the memory of the tier.
    ///
    /// # Errors
    /// When the device does not give it.
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        // SAFETY: the memory is used within its bounds and freed once, when `self` is dropped.
        let taken = self.enter().and_then(|()| unsafe { result::malloc_sync(bytes as usize) });
        let (tier, number) = (self.tier, self.number);
        let memory = taken.map_err(|error| {
            Error::usage(format!(
                "--tier-{tier} gpu:{number}: the GPU does not give {} of its memory ({}); use --size-scale 0.01 to shrink \
                 every object, or --tier-{tier} model:64GB/s+10us (time only)",
                units::bytes(bytes),
                words(error)
            ))
        })?;
        self.memory = Some((memory, bytes));
        self.facts.insert("pool_bytes".to_owned(), json!(bytes));
        Ok(())
    }

    /// Pins host memory that copies come from and go to; says it when that is refused.
    pub fn pin(&mut self, region: &Region, what: &str) {
        let start = region.as_ptr().cast::<c_void>();
        // SAFETY: the region is mapped, and outlives `self`, which unpins it.
        let pinned = self.enter().and_then(|()| unsafe {
            sys::cuMemHostRegister_v2(start, region.len(), sys::CU_MEMHOSTREGISTER_PORTABLE).result()
        });
        match pinned {
            Ok(()) => self.pinned.push(start),
            // Another tier's GPU has pinned it for all of them.
            Err(DriverError(CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)) => {}
            Err(error) => self.notes.push(format!(
                "{what} could not be pinned for gpu:{} ({}): copies are staged by the driver, slower and perhaps not \
                 asynchronous; raise the limit of locked memory (ulimit -l)",
                self.number,
                words(error)
            )),
        }
        self.facts.insert("pinned".to_owned(), json!(self.notes.is_empty()));
    }

    /// Puts bytes there at once, before the clock starts.
    ///
    /// # Errors
    /// What the driver says.
    pub fn put(&mut self, at: u64, data: &[u8]) -> Result<()> {
        let to = self.place(at, data.len());
        // SAFETY: the place is inside the tier's memory, as checked.
        let put = self.enter().and_then(|()| unsafe { result::memcpy_htod_sync(to, data) });
        put.map_err(|error| {
            Error::io(format!("preparing: copying to gpu:{} failed: {}; try another device", self.number, words(error)))
        })
    }

    fn place(&self, at: u64, len: usize) -> sys::CUdeviceptr {
        let (memory, bytes) = self.memory.expect("the memory was taken before it is used");
        assert!(at <= bytes && len as u64 <= bytes - at, "a part lies inside the tier's memory");
        memory + at
    }

    /// Ties the time of its events to the caller's clock. Its calls come from this thread from now
    /// on.
    ///
    /// # Errors
    /// What the driver says.
    pub fn set_clock(&mut self, now: &dyn Fn() -> u64) -> Result<()> {
        self.find_anchor(now).map_err(|error| {
            Error::io(format!("gpu:{} does not tell the time of its copies: {}", self.number, words(error)))
        })
    }

    fn find_anchor(&mut self, now: &dyn Fn() -> u64) -> Result<(), DriverError> {
        self.enter()?;
        let stream = self.lanes[0].stream;
        let mut closest = u64::MAX;
        let mut best = event::create(CUevent_flags::CU_EVENT_DEFAULT)?;
        for _ in 0..TRIES {
            let before = now();
            // SAFETY: the event and the stream are ours and not destroyed.
            unsafe {
                event::record(self.anchor_event, stream)?;
                event::synchronize(self.anchor_event)?;
            }
            let after = now();
            if after - before < closest {
                closest = after - before;
                self.anchor.at = before + closest / 2;
                std::mem::swap(&mut best, &mut self.anchor_event);
            }
        }
        std::mem::swap(&mut best, &mut self.anchor_event);
        self.facts.insert("clock_anchor_error_ns".to_owned(), json!(closest / 2));
        // SAFETY: the event is ours and nobody waits for it.
        unsafe { event::destroy(best) }
    }

    /// Where its memory of the tier begins and how long it is, once it was taken.
    pub fn memory(&self) -> Option<(u64, u64)> {
        self.memory
    }

    /// Its context.
    pub fn context(&self) -> Context {
        Context(self.context)
    }

    /// Whether a stream takes another copy.
    pub fn has_room(&self, way: Way) -> bool {
        self.lanes[way as usize].copies.len() < IN_STREAM
    }

    /// Copies in flight.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.copies.len()).sum()
    }

    /// Queues a copy. There is room for it.
    ///
    /// # Errors
    /// What the driver says; the copy is not made then.
    ///
    /// # Safety
    /// The host's memory is there, and until the copy is said to have ended nobody writes it, and
    /// with [`Way::Out`] nobody reads it either.
    pub unsafe fn send(&mut self, transfer: Transfer, now: u64) -> Result<(), String> {
        let Transfer { way, at, host, len, slot } = transfer;
        let place = self.place(at, len);
        self.enter().map_err(words)?;
        let lane = &mut self.lanes[way as usize];
        let (began, ended) = lane.spare.pop().expect("there is room for a copy");
        // SAFETY: the place is inside the tier's memory, as checked; the host's is as the caller
        // says; events and stream are ours.
        let sent = unsafe {
            event::record(began, lane.stream).and_then(|()| match way {
                Way::In => sys::cuMemcpyHtoDAsync_v2(place, host.cast(), len, lane.stream).result(),
                Way::Out => sys::cuMemcpyDtoHAsync_v2(host.cast(), place, len, lane.stream).result(),
            })
        };
        if let Err(error) = sent {
            lane.spare.push((began, ended));
            return Err(words(error));
        }
        // SAFETY: as above. When it fails the copy is in flight without an end of its own; the
        // query of an event that was not recorded then tells of the error that is in the stream.
        if let Err(error) = unsafe { event::record(ended, lane.stream) } {
            // SAFETY: as above; the copy must not go on in memory that is given to others.
            let _ = unsafe { stream::synchronize(lane.stream) };
            lane.spare.push((began, ended));
            return Err(words(error));
        }
        lane.copies.push_back(Copy { slot, queued: now, began, ended });
        Ok(())
    }

    /// The copy that has ended next in either stream; `now` is the time at which it is seen.
    pub fn next_ended(&mut self, now: u64) -> Option<Ended> {
        for lane in &mut self.lanes {
            let Some(copy) = lane.copies.front() else { continue };
            // SAFETY: the event is ours and recorded.
            let asked = unsafe { event::query(copy.ended) };
            if asked == Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) {
                continue;
            }
            let copy = lane.copies.pop_front().expect("it was there");
            let times =
                asked.and_then(|()| Ok((between(self.anchor_event, copy.began)?, between(copy.began, copy.ended)?)));
            let mut ended =
                Ended { slot: copy.slot, way: lane.way, times: [copy.queued, now, now], queued_ns: 0, failure: None };
            let mut pair = (copy.began, copy.ended);
            match times {
                Ok((offset, ns)) => {
                    let (began, end) = self.anchor.place(offset, ns.max(0) as u64, copy.queued, now);
                    ended.times = [copy.queued, began, end];
                    let overlap = |(from, to): &(u64, u64)| (*to).min(began).saturating_sub((*from).max(copy.queued));
                    ended.queued_ns = lane.latest.iter().map(overlap).sum();
                    if lane.latest.len() == IN_STREAM {
                        lane.latest.pop_front();
                    }
                    lane.latest.push_back((began, end));
                    if offset > ANCHORED_NS {
                        self.anchor.move_to(offset);
                        std::mem::swap(&mut self.anchor_event, &mut pair.0);
                    }
                }
                Err(error) => ended.failure = Some(words(error)),
            }
            lane.spare.push(pair);
            return Some(ended);
        }
        None
    }

    /// What is known of it.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// What a reader of the result should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if self.in_flight() > 0 || self.enter().is_err() {
            // A device that does not answer would not answer this either; the driver frees what a
            // process leaves behind.
            return;
        }
        // SAFETY: everything is ours, in use by nobody, and given back once.
        let _ = unsafe {
            for lane in &mut self.lanes {
                for (began, ended) in lane.spare.drain(..) {
                    let _ = (event::destroy(began), event::destroy(ended));
                }
                let _ = stream::destroy(lane.stream);
            }
            if !self.anchor_event.is_null() {
                let _ = event::destroy(self.anchor_event);
            }
            for start in self.pinned.drain(..) {
                let _ = sys::cuMemHostUnregister(start);
            }
            if let Some((memory, _)) = self.memory.take() {
                let _ = result::free_sync(memory);
            }
            result::primary_ctx::release(self.device)
        };
    }
}
