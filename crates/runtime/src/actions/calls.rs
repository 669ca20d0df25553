//! `call()`: calls and returns with their values.

use super::Actions;
use crate::error::Result;
use crate::output::Output;
use fathom_bpf::capture::EVENT_STACK;
use fathom_bpf::layout::StackMode;
use fathom_bpf::object::{AttachPoint, CallMoment, CallValue, Place};
use fathom_bpf::{Layout, Object};
use fathom_output::call::place_of_call;
use fathom_output::whole::{DynamicSource, ProgramPlace};
use fathom_output::{DecodeContext, Message, Value, decode, decode_call};

/// Frames of a call's stack at most.
const MAX_CALL_FRAMES: u32 = 127;

impl Actions<'_> {
    /// Shows a call or a return.
    pub(super) fn call(
        &mut self,
        moment: CallMoment,
        values: &[CallValue],
        event: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let object = self.object;
        let (point, instruction) = place_of_call(event).unwrap_or((u64::MAX, 0));
        let point = usize::try_from(point)
            .ok()
            .and_then(|point| object.attach_points.get(point));
        let mut offsets = Vec::new();
        let path = point.and_then(|point| sites(object, point, &mut offsets));
        let dynamic = match (&self.dynamic_types, path) {
            (Some(types), Some(path)) => Some(DynamicSource {
                types: types.as_ref(),
                program: ProgramPlace {
                    path,
                    offsets: &offsets,
                    instruction,
                },
            }),
            _ => None,
        };
        let Ok(mut call) = decode_call(event, moment, values, &object.shapes, dynamic) else {
            self.malformed += 1;
            return Ok(());
        };
        let layout = Layout::UserStack {
            mode: StackMode::Bpftrace,
            limit: MAX_CALL_FRAMES,
        };
        let stack = event.get(EVENT_STACK as usize..).unwrap_or_default();
        if let Ok(Value::Stack { frames, .. }) =
            decode(stack, &layout, &DecodeContext::new(self.symbols))
        {
            call.stack = frames;
        }
        let call = &call;
        let probe = point.map_or("", |point| point.name.as_str());
        output.tell(&Message::Call { call, probe })
    }
}

/// The file of a probe in user space, and where in it the probe is.
fn sites<'o>(
    object: &'o Object,
    point: &'o AttachPoint,
    offsets: &mut Vec<u64>,
) -> Option<&'o str> {
    match &point.place {
        Place::Uprobe { path, site, .. } => {
            offsets.push(site.offset);
            Some(path)
        }
        Place::UprobeMulti { path, sites, .. } => {
            offsets.extend(sites.iter().map(|site| site.offset));
            Some(path)
        }
        Place::Member { of } => match &object.attach_points.get(*of as usize)?.place {
            Place::UprobeMulti { path, sites, .. } => {
                offsets.extend(sites.iter().map(|site| site.offset));
                Some(path)
            }
            _ => None,
        },
        _ => None,
    }
}
