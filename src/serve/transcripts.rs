//! What tokens a prompt consists of, for caches that go by content: the segments that the source
//! names, or a shared system prompt and what was said in the conversation so far.

use crate::seed::mix;
use crate::workload::{Content, Request, Segment, prompts};

use super::live::Live;
use super::objects::{HistoryReads, ObjectModel, Sharing};

/// Who names a segment. Names of different kinds are unrelated numbers.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Source,
    Prompt,
    Question,
    Answer,
    LoneAnswer,
}

fn name(origin: Origin, whose: u64, which: u64) -> u64 {
    mix(mix(mix(origin as u64) ^ whose) ^ which)
}

/// What the live conversations have said.
#[derive(Debug)]
pub struct Transcripts {
    model: ObjectModel,
    prompts: [u64; prompts::ALL.len()],
    live: Live<Transcript>,
}

#[derive(Debug, Default)]
struct Transcript {
    /// The shared prompt of its first turn, which all its turns have.
    prompt: Option<u8>,
    turns: Vec<Said>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    turn: u32,
    asked_tokens: u32,
    answer_tokens: u32,
}

impl Transcripts {
    /// Nothing was said yet. `limit`: conversations that are remembered.
    pub fn new(model: ObjectModel, limit: Option<u64>) -> Self {
        let prompts = prompts::ALL.each_ref().map(|prompt| name(Origin::Prompt, 0, prompt.hash()));
        Self { model, prompts, live: Live::new(limit) }
    }

    /// Hands out the segments of a request's prompt, first token first, and that of its answer,
    /// which belongs to the prompts of the turns that follow. The request's shared prompt becomes
    /// that of its conversation.
    pub fn begin_turn(&mut self, ordinal: u64, request: &mut Request, mut segment: impl FnMut(Segment)) -> Segment {
        if let Content::Segments(segments) = std::mem::take(&mut request.content) {
            request.prefix = None;
            let owner = if self.model.sharing == Sharing::Content { 0 } else { request.conversation_ordinal + 1 };
            for Segment { id, tokens } in segments {
                segment(Segment { id: name(Origin::Source, owner, id), tokens });
            }
            let id = match request.answer {
                Some(id) => name(Origin::Source, owner, id),
                None => name(Origin::LoneAnswer, 0, ordinal),
            };
            return Segment { id, tokens: request.generate_tokens };
        }
        if self.model.history != HistoryReads::None {
            self.recall(request, &mut segment);
        } else if let Some(prompt) = request.prefix {
            segment(prompt_segment(&self.prompts, prompt));
        }
        let [question, answer] = Said::by(request).segments(request.conversation_ordinal);
        segment(question);
        answer
    }

    /// The tokens of a shared prompt.
    pub fn prompt_tokens(&self, prompt: u8) -> u32 {
        prompt_segment(&self.prompts, prompt).tokens
    }

    /// The last turn of a conversation has ended.
    pub fn end(&mut self, conversation_ordinal: u64) {
        self.live.end(conversation_ordinal, Transcript::forget);
    }

    /// Hands out what comes before a request's own tokens, and remembers what it adds.
    fn recall(&mut self, request: &mut Request, segment: &mut impl FnMut(Segment)) {
        let whose = request.conversation_ordinal;
        let (transcript, is_new) = self.live.touch(whose, Transcript::forget);
        if is_new {
            transcript.prompt = request.prefix;
        }
        request.prefix = transcript.prompt;
        if let Some(prompt) = transcript.prompt {
            segment(prompt_segment(&self.prompts, prompt));
        }
        let earlier = transcript.turns.iter().filter(|said| said.turn < request.turn);
        earlier.flat_map(|said| said.segments(whose)).for_each(segment);
        transcript.turns.push(Said::by(request));
    }
}

impl Transcript {
    fn forget(&mut self) {
        self.turns.clear();
    }
}

impl Said {
    fn by(request: &Request) -> Self {
        Self { turn: request.turn, asked_tokens: request.context_tokens, answer_tokens: request.generate_tokens }
    }

    /// The question and the answer of a turn of a conversation.
    fn segments(self, whose: u64) -> [Segment; 2] {
        let turn = u64::from(self.turn);
        [
            Segment { id: name(Origin::Question, whose, turn), tokens: self.asked_tokens },
            Segment { id: name(Origin::Answer, whose, turn), tokens: self.answer_tokens },
        ]
    }
}

fn prompt_segment(names: &[u64; prompts::ALL.len()], prompt: u8) -> Segment {
    let at = usize::from(prompt);
    Segment { id: names[at], tokens: prompts::ALL[at].tokens }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcripts(history: HistoryReads, sharing: Sharing) -> Transcripts {
        Transcripts::new(ObjectModel { history, sharing, ..ObjectModel::default() }, Some(2))
    }

    /// The segments of a prompt, and its answer's.
    fn prompt(transcripts: &mut Transcripts, request: Request) -> (Vec<Segment>, Segment) {
        let mut segments = Vec::new();
        let answer = transcripts.begin_turn(77, &mut request.clone(), |segment| segments.push(segment));
        (segments, answer)
    }

    fn turn(conversation_ordinal: u64, turn: u32) -> Request {
        Request { conversation_ordinal, turn, context_tokens: 10 * turn, generate_tokens: turn, ..Request::default() }
    }

    #[test]
    fn a_prompt_is_everything_said_before() {
        let mut transcripts = transcripts(HistoryReads::LongestPrefix, Sharing::Prompts);
        let (first, answer_1) = prompt(&mut transcripts, Request { prefix: Some(1), ..turn(5, 1) });
        let (second, answer_2) = prompt(&mut transcripts, turn(5, 2));
        let (third, _) = prompt(&mut transcripts, Request { prefix: Some(0), ..turn(5, 3) });
        assert_eq!(first[0].tokens, prompts::ALL[1].tokens);
        assert_eq!(second[..3], [first[0], first[1], answer_1]);
        assert_eq!(third[..5], [&second[..], &[answer_2]].concat(), "its first turn's system prompt stays");
        assert_eq!(third.iter().skip(1).map(|segment| segment.tokens).collect::<Vec<_>>(), [10, 1, 20, 2, 30]);
        let (other, _) = prompt(&mut transcripts, Request { prefix: Some(1), ..turn(6, 1) });
        assert_eq!(other[0], first[0], "system prompts are shared");
        assert_ne!(other[1].id, first[1].id, "questions are not");
    }

    #[test]
    fn a_forgotten_conversation_begins_anew() {
        let mut transcripts = transcripts(HistoryReads::LongestPrefix, Sharing::Prompts);
        for ordinal in [1, 2, 3] {
            prompt(&mut transcripts, turn(ordinal, 1));
        }
        assert_eq!(prompt(&mut transcripts, turn(1, 2)).0.len(), 1);
        transcripts.end(3);
        assert_eq!(prompt(&mut transcripts, turn(3, 2)).0.len(), 1);
    }

    #[test]
    fn without_history_a_prompt_is_its_own_turn() {
        let mut transcripts = transcripts(HistoryReads::None, Sharing::Prompts);
        prompt(&mut transcripts, turn(1, 1));
        assert_eq!(prompt(&mut transcripts, turn(1, 2)).0.len(), 1);
        assert_eq!(prompt(&mut transcripts, Request { prefix: Some(0), ..turn(1, 3) }).0.len(), 2);
    }

    #[test]
    fn an_answer_that_the_source_names_is_found_in_a_later_prompt() {
        for sharing in [Sharing::Content, Sharing::Prompts] {
            let mut transcripts = transcripts(HistoryReads::LongestPrefix, sharing);
            let of = |ids: &[u64], answer| Request {
                content: Content::Segments(ids.iter().map(|id| Segment { id: *id, tokens: 9 }).collect()),
                answer,
                ..turn(5, 9)
            };
            let (_, named) = prompt(&mut transcripts, of(&[3], Some(4)));
            let (second, own) = prompt(&mut transcripts, of(&[3, 4, 5], None));
            assert_eq!(second[1], named, "{sharing:?}");
            assert!(second.iter().all(|segment| segment.id != own.id), "{sharing:?}");
        }
    }

    #[test]
    fn who_shares_what_the_source_says_is_the_same() {
        let whole = |conversation| Request {
            content: Content::Segments([Segment { id: 3, tokens: 512 }].into()),
            ..turn(conversation, 1)
        };
        for (sharing, shared) in [(Sharing::Content, true), (Sharing::Prompts, false), (Sharing::None, false)] {
            let mut transcripts = transcripts(HistoryReads::LongestPrefix, sharing);
            let [a, again, b] = [0, 0, 1].map(|conversation| prompt(&mut transcripts, whole(conversation)).0);
            assert_eq!(a, again);
            assert_eq!(a == b, shared, "{sharing:?}");
        }
    }
}
