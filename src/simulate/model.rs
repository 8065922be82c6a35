//! A stack as amounts: webs that hold sessions, workers that answer, and clients that come back.
//!
//! Every handshake and every dynamic request is a message to the workers, who take them in the
//! order they came, one at a time each. A client that is refused or cut tries again two to five
//! seconds later, for ever.

mod replicas;

use std::collections::VecDeque;
use std::time::Duration;

use super::merit::{Ledger, Merit};
use super::rule::{Glimpse, RATIO, Rule, whole};
use super::trace::Trace;
use crate::routing::{Hands, Window};

/// Sessions that a web could hold if it were known exactly who comes.
const NOMINAL: f64 = 200.0;
/// Sessions above which nothing more is sent to a web.
const HARD: f64 = 250.0;
/// Seconds of work: the first page of a visitor, and asking who one is before coming back.
const PAGE_WORK: f64 = 0.5;
const RETURN_WORK: f64 = 0.03;
/// Requests of a connected client per second, and the work of each.
const REQUESTS: f64 = 0.02;
const REQUEST_WORK: f64 = 0.05;
/// Messages the channel layer holds.
const CAPACITY: f64 = 1_000.0;
/// Seconds that a client, and a message, live.
const HANDSHAKE_PATIENCE: usize = 20;
const MESSAGE_EXPIRY: usize = 60;
/// Seconds that usher holds handshakes for which its window has no place. That a web gets sixteen at a
/// time at most is left out: places are free again within a step, and a step of a second would leave
/// workers idle for it.
const HOLD: usize = 18;
/// Less of an amount than this is nothing.
const NOTHING: f64 = 1e-9;
const LATELY: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Web {
    sessions: f64,
    /// From when on it works.
    ready: usize,
    draining: Option<usize>,
}

/// Messages that came in the same second.
#[derive(Clone, Copy, Debug)]
struct Messages {
    handshakes: bool,
    sent: usize,
    count: f64,
    work: f64,
    /// Nobody waits for the answer any more.
    abandoned: bool,
}

/// Clients that will try again, by the second: those who were connected before, and newcomers.
#[derive(Clone, Copy, Debug, Default)]
struct Returning {
    known: f64,
    new: f64,
}

struct Stack<'a> {
    trace: &'a Trace,
    admits: bool,
    webs: Vec<Web>,
    workers: Vec<usize>,
    queue: VecDeque<Messages>,
    held: VecDeque<(usize, f64)>,
    window: Window,
    returning: Vec<Returning>,
    /// The last second in which anybody returns.
    horizon: usize,
    line_dead_until: usize,
    /// The slowest answer of each of the last seconds, to handshakes and to requests.
    answers: [VecDeque<Option<f64>>; 2],
    failed: f64,
    ledger: Ledger,
}

/// What becomes of an audience under a rule.
pub fn run(trace: &Trace, rule: &mut dyn Rule) -> Merit {
    let wanted = trace.wanted.first().copied().unwrap_or_default();
    let webs = rule.begins_with(wanted);
    let web = Web {
        sessions: wanted / f64::from(webs.max(1)),
        ready: 0,
        draining: None,
    };
    let mut stack = Stack {
        trace,
        admits: rule.admits(),
        webs: vec![web; size(webs)],
        workers: vec![0; size(webs * RATIO)],
        queue: VecDeque::new(),
        held: VecDeque::new(),
        window: Window::new(Hands::Workers),
        returning: vec![Returning::default(); trace.wanted.len() + 8],
        horizon: 0,
        line_dead_until: 0,
        answers: Default::default(),
        failed: 0.0,
        ledger: Ledger::default(),
    };
    let mut per_web = Vec::new();
    let mut last = wanted;
    for (second, wanted) in trace.wanted.iter().copied().enumerate() {
        stack.failed = 0.0;
        stack.lose(second);
        stack.come_and_go(second, wanted - last);
        last = wanted;
        stack.admit(second);
        stack.work(second);
        stack.window.pass(Duration::from_secs(1));
        let glimpse = stack.glimpse(second, &mut per_web);
        let sizes = rule.tick(&glimpse);
        stack.ledger.wants(second, sizes.webs);
        stack.resize_webs(second, sizes.webs, rule.drains());
        stack.advance_drains(second, rule.closes(second));
        stack.resize_workers(second, sizes.workers);
        stack.account(wanted);
    }
    stack.ledger.close()
}

impl Stack<'_> {
    fn sessions(&self) -> f64 {
        self.webs.iter().map(|web| web.sessions).sum()
    }

    fn is_ready(web: &Web, second: usize) -> bool {
        web.ready <= second && web.draining.is_none()
    }

    fn ready_workers(&self, second: usize) -> f64 {
        count(
            self.workers
                .iter()
                .filter(|ready| **ready <= second)
                .count(),
        )
    }

    /// They try again in two to five seconds.
    fn later(&mut self, second: usize, known: f64, new: f64) {
        for seconds in 2..=5 {
            let at = (second + seconds).min(self.returning.len() - 1);
            if let Some(returning) = self.returning.get_mut(at) {
                returning.known += known / 4.0;
                returning.new += new / 4.0;
            }
            self.horizon = self.horizon.max(at);
        }
    }

    fn lose(&mut self, second: usize) {
        let loss = self.trace.losses.iter().find(|loss| loss.at == second);
        if let Some(loss) = loss.copied() {
            self.line_dead_until = second + loss.lasts;
            let mut lost = 0.0;
            for web in &mut self.webs {
                lost += web.sessions * loss.share;
                web.sessions *= 1.0 - loss.share;
            }
            self.later(self.line_dead_until, lost, 0.0);
        }
    }

    /// Those who leave do so whether they are connected or not; those who come ask for a page and
    /// then for a session.
    fn come_and_go(&mut self, second: usize, more: f64) {
        let sessions = self.sessions();
        if more < 0.0 && sessions > 0.0 {
            let waiting: f64 = self.held.iter().map(|(_, count)| count).sum();
            let horizon = self.horizon.min(self.returning.len() - 1);
            let returning = self.returning.get(second..=horizon).unwrap_or_default();
            let returning: f64 = returning.iter().map(|one| one.known + one.new).sum();
            let stay = 1.0 - (-more / (sessions + waiting + returning).max(NOTHING)).min(1.0);
            self.webs.iter_mut().for_each(|web| web.sessions *= stay);
            self.held.iter_mut().for_each(|(_, count)| *count *= stay);
            let returning = self.returning.get_mut(second..=horizon);
            for one in returning.unwrap_or_default() {
                one.known *= stay;
                one.new *= stay;
            }
        }
        let mut back = self
            .returning
            .get_mut(second)
            .map(std::mem::take)
            .unwrap_or_default();
        back.new += more.max(0.0);
        if second < self.line_dead_until {
            self.later(self.line_dead_until, back.known + back.new, 0.0);
            return;
        }
        for (amount, work) in [(back.new, PAGE_WORK), (back.known, RETURN_WORK)] {
            if amount > 0.0 {
                self.queue.push_back(Messages {
                    handshakes: false,
                    sent: second,
                    count: amount,
                    work,
                    abandoned: false,
                });
            }
        }
        if back.known + back.new > 0.0 {
            self.held.push_back((second, back.known + back.new));
        }
    }

    fn fail(&mut self, second: usize, amount: f64) {
        self.later(second, amount, 0.0);
        self.ledger.merit.failed += amount;
    }

    /// Handshakes go in: as many as the channel layer takes, or with usher as workers can answer.
    fn admit(&mut self, second: usize) {
        let mut inside: f64 = self
            .queue
            .iter()
            .filter(|messages| messages.handshakes)
            .map(|messages| messages.count)
            .sum();
        let workers = number(self.workers.iter().filter(|at| **at <= second).count());
        let mut window = if self.admits {
            (f64::from(self.window.most(workers)) - inside).max(0.0)
        } else {
            f64::MAX
        };
        let ready = self.webs.iter().filter(|web| Self::is_ready(web, second));
        let seats: f64 = ready.map(|web| (HARD - web.sessions).max(0.0)).sum();
        let mut seats = seats - inside;
        while let Some((since, waiting)) = self.held.front().copied() {
            if self.admits && second - since > HOLD {
                self.held.pop_front();
                // The proxy's own answer: no sign of the stack's.
                self.fail(second, waiting);
                continue;
            }
            let free = (CAPACITY - inside).max(0.0);
            let goes = waiting.min(window).min(free).min(seats.max(0.0));
            if goes > NOTHING {
                self.queue.push_back(Messages {
                    handshakes: true,
                    sent: second,
                    count: goes,
                    work: self.trace.connect_work,
                    abandoned: false,
                });
                window -= goes;
                inside += goes;
                seats -= goes;
            }
            let left = waiting - goes;
            if left < 1e-6 {
                self.held.pop_front();
            } else if self.admits {
                if let Some(front) = self.held.front_mut() {
                    front.1 = left;
                }
                if window <= NOTHING {
                    self.window.was_full();
                }
                break;
            } else {
                self.held.pop_front();
                self.failed += left;
                self.fail(second, left);
            }
        }
    }

    fn work(&mut self, second: usize) {
        let workers = self.ready_workers(second);
        let open: f64 = self
            .queue
            .iter()
            .map(|messages| messages.count * messages.work)
            .sum();
        self.ledger.waits((open / workers.max(1.0)).min(60.0));
        let everyday = self.sessions() * REQUESTS * REQUEST_WORK;
        let mut time = workers - everyday.min(workers * 0.9);
        let mut gave_up = 0.0;
        for messages in &mut self.queue {
            let late = second - messages.sent > HANDSHAKE_PATIENCE;
            if messages.handshakes && late && !messages.abandoned {
                messages.abandoned = true;
                gave_up += messages.count;
            }
        }
        if gave_up > 0.0 {
            self.failed += gave_up;
            self.fail(second, gave_up);
            self.window.pushed_back();
        }
        let mut connected = 0.0;
        let mut slowest = [None; 2];
        while let Some(messages) = self.queue.front_mut() {
            if time <= NOTHING {
                break;
            }
            if second - messages.sent > MESSAGE_EXPIRY {
                self.queue.pop_front();
                continue;
            }
            let done = messages.count.min(time / messages.work);
            time -= done * messages.work;
            messages.count -= done;
            let took = count(second - messages.sent) + messages.work;
            let [handshake, request] = &mut slowest;
            if !messages.handshakes {
                *request = Some(took.max(request.unwrap_or_default()));
            } else if !messages.abandoned {
                connected += done;
                self.window
                    .answered(whole(done.ceil()), Duration::from_secs_f64(took));
                *handshake = Some(took.max(handshake.unwrap_or_default()));
            }
            if messages.count < NOTHING {
                self.queue.pop_front();
            }
        }
        for (answers, slowest) in self.answers.iter_mut().zip(slowest) {
            answers.push_back(slowest);
            if answers.len() > LATELY {
                answers.pop_front();
            }
        }
        self.seat(second, connected);
    }

    /// Each goes to the web with the fewest.
    fn seat(&mut self, second: usize, connected: f64) {
        let mut ready: Vec<&mut Web> = self
            .webs
            .iter_mut()
            .filter(|web| Self::is_ready(web, second))
            .collect();
        if ready.is_empty() {
            if connected > 0.0 {
                self.later(second, connected, 0.0);
            }
            return;
        }
        let mut left = connected;
        while left > 1e-6 {
            let fewest = ready
                .iter()
                .map(|web| web.sessions)
                .fold(f64::MAX, f64::min);
            let is_fewest = |web: &Web| web.sessions <= fewest + 1e-6;
            let others = ready.iter().filter(|web| !is_fewest(web));
            let next = others.map(|web| web.sessions).fold(fewest + left, f64::min);
            let level = count(ready.iter().filter(|web| is_fewest(web)).count());
            let add = left.min((next - fewest + 1e-3) * level);
            for web in ready.iter_mut().filter(|web| web.sessions <= fewest + 1e-6) {
                web.sessions += add / level;
            }
            left -= add;
        }
    }

    fn glimpse<'p>(&self, second: usize, per_web: &'p mut Vec<f64>) -> Glimpse<'p> {
        per_web.clear();
        let ready = self.webs.iter().filter(|web| Self::is_ready(web, second));
        per_web.extend(ready.map(|web| web.sessions));
        let of = |handshakes| {
            self.queue
                .iter()
                .filter(move |messages| messages.handshakes == handshakes && !messages.abandoned)
                .map(|messages| messages.count)
                .sum::<f64>()
        };
        let draining = self
            .webs
            .iter()
            .filter(|web| web.draining.is_some())
            .count();
        let [answered_within, first_byte_within] = self
            .answers
            .each_ref()
            .map(|answers| answers.iter().flatten().copied().reduce(f64::max));
        Glimpse {
            second,
            sessions: self.sessions(),
            pending: of(true),
            held: self.held.iter().map(|(_, count)| count).sum(),
            longest_wait: self
                .held
                .front()
                .map_or(0.0, |(since, _)| count(second - since)),
            in_flight: of(false),
            failed: self.failed,
            answered_within,
            first_byte_within,
            webs: number(self.webs.len() - draining),
            ready_webs: number(per_web.len()),
            draining: number(draining),
            workers: number(self.workers.len()),
            ready_workers: number(self.workers.iter().filter(|at| **at <= second).count()),
            per_web,
            oldest: self
                .queue
                .front()
                .map_or(0.0, |messages| count(second - messages.sent)),
        }
    }

    fn account(&mut self, wanted: f64) {
        let unserved = (wanted - self.sessions()).max(0.0);
        self.ledger.merit.unserved += unserved;
        let webs = (wanted / NOMINAL).ceil().max(1.0);
        let workers = if wanted > 10.0 {
            webs * f64::from(RATIO)
        } else {
            1.0
        };
        let (has_webs, has_workers) = (count(self.webs.len()), count(self.workers.len()));
        self.ledger.spend(has_webs, has_workers, webs, workers);
    }
}

/// Seconds, replicas and people are far fewer than what a float tells apart.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
