use super::*;

const GOOD: Exit = Exit::Good;
const BAD: Exit = Exit::Bad;
const READY: Event = Event::Prepared { hand_over: true };
const CANNOT: Event = Event::Prepared { hand_over: false };

fn supervisor(drain: Drain) -> (Supervisor, Instant) {
    let now = Instant::now();
    let policy = Policy { drain, minimum: s(5), deadline: s(28), warm: s(60), replaced: s(900) };
    (Supervisor::new(policy, 0, now), now)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exited(epoch: Epoch, exit: Exit) -> Event {
    Event::Exited { epoch, exit }
}

fn report(outcome: Outcome) -> Action {
    Action::Report(outcome)
}

/// A restart was asked for; generation 1 warms up.
fn warming(drain: Drain) -> (Supervisor, Instant) {
    let (mut supervisor, now) = supervisor(drain);
    assert_eq!(supervisor.step(Event::Restart, now), [Action::Prepare]);
    let expected = [Action::Trust(Trust::Held), Action::Start(1), Action::WakeAt(now + s(60))];
    assert_eq!(supervisor.step(READY, now), expected);
    (supervisor, now)
}

/// Generation 1 serves, 0 drains.
fn replacing(drain: Drain) -> (Supervisor, Instant) {
    let (mut supervisor, now) = warming(drain);
    let handed_over = report(Outcome::HandedOver { epoch: 1 });
    let expected = [Action::Trust(Trust::Asked), handed_over, Action::WakeAt(now + s(900))];
    assert_eq!(supervisor.step(Event::Ready { epoch: 1 }, now), expected);
    (supervisor, now)
}

#[test]
fn a_crashing_proxy_is_started_again_ever_later() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let [Action::WakeAt(at)] = supervisor.step(exited(0, BAD), now)[..] else { panic!() };
        waits.push(at.duration_since(now).as_millis());
        assert_eq!(supervisor.step(Event::Timer, now), [Action::Start(0)]);
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
    let later = now + STABLE;
    assert_eq!(
        supervisor.step(exited(0, BAD), later),
        [Action::WakeAt(later + FIRST_BACK_OFF)],
        "a stable run forgets"
    );
    let leaves = [report(Outcome::Ending), Action::Leave(exit::OK)];
    assert_eq!(supervisor.step(Event::Signal, later), leaves);
}

#[test]
fn our_proxy_drains_by_itself() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    let begins = [report(Outcome::Ending), Action::Unready, Action::WakeAt(now + s(5))];
    assert_eq!(supervisor.step(Event::Signal, now), begins);
    assert_eq!(
        supervisor.step(Event::Timer, now + s(5)),
        [Action::Terminate(0), Action::WakeAt(now + s(28))]
    );
    assert_eq!(supervisor.step(exited(0, GOOD), now + s(9)), [Action::Leave(exit::OK)]);
}

#[test]
fn envoy_is_drained_and_watched() {
    let (mut supervisor, now) = supervisor(Drain::ByAdmin);
    let wake = Action::WakeAt(now + s(5));
    let begins = [report(Outcome::Ending), Action::Unready, Action::AskToDrain, wake];
    assert_eq!(supervisor.step(Event::Signal, now), begins);
    assert_eq!(
        supervisor.step(Event::Timer, now + s(5)),
        [Action::WatchConnections, Action::WakeAt(now + s(28))]
    );
    assert_eq!(
        supervisor.step(Event::Empty, now + s(7)),
        [Action::Terminate(0), Action::WakeAt(now + s(28))]
    );
    assert_eq!(supervisor.step(exited(0, GOOD), now + s(8)), [Action::Leave(exit::OK)]);
}

#[test]
fn connections_are_cut_at_the_deadline() {
    let (mut envoy, now) = supervisor(Drain::ByAdmin);
    envoy.step(Event::Signal, now);
    envoy.step(Event::Timer, now + s(5));
    assert_eq!(
        envoy.step(Event::Timer, now + s(28)),
        [Action::Terminate(0), Action::WakeAt(now + s(29))]
    );
    assert_eq!(envoy.step(Event::Timer, now + s(29)), [Action::Kill(0)]);
    assert_eq!(envoy.step(exited(0, BAD), now + s(29)), [Action::Leave(exit::CUT)]);

    let (mut ours, now) = supervisor(Drain::OnSigterm);
    ours.step(Event::Signal, now);
    ours.step(Event::Timer, now + s(5));
    assert_eq!(ours.step(Event::Timer, now + s(28)), [Action::Kill(0)]);
    assert_eq!(ours.step(exited(0, BAD), now + s(28)), [Action::Leave(exit::CUT)]);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for drain in [Drain::OnSigterm, Drain::ByAdmin] {
        let (mut supervisor, now) = supervisor(drain);
        supervisor.step(Event::Signal, now);
        assert_eq!(supervisor.step(Event::Signal, now), [Action::Kill(0)]);
        assert_eq!(supervisor.step(Event::Signal, now), []);
        assert_eq!(supervisor.step(exited(0, BAD), now), [Action::Leave(exit::CUT)]);
    }
}

#[test]
fn a_proxy_that_dies_while_draining_is_reported() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(Event::Signal, now);
    assert_eq!(supervisor.step(exited(0, GOOD), now), [Action::Leave(exit::PROXY_FAILED)]);
}

#[test]
fn a_restart_goes_from_one_generation_to_the_next() {
    for drain in [Drain::OnSigterm, Drain::ByAdmin] {
        let (mut supervisor, now) = replacing(drain);
        assert_eq!(supervisor.step(exited(0, GOOD), now), []);
        assert_eq!(supervisor.step(Event::Restart, now), [Action::Prepare]);
        assert_eq!(supervisor.step(READY, now)[1], Action::Start(2));
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(Event::Restart, now);
    assert_eq!(supervisor.step(Event::Restart, now), [], "waits for the first to be checked");
    let again = [report(Outcome::Refused), Action::Prepare];
    assert_eq!(supervisor.step(Event::Refused, now), again);
    assert_eq!(supervisor.step(Event::Refused, now), [report(Outcome::Refused)]);
    assert_eq!(supervisor.step(Event::Restart, now), [Action::Prepare]);
}

#[test]
fn a_new_one_that_fails_is_forgotten() {
    let (mut supervisor, now) = warming(Drain::OnSigterm);
    let failed = [Action::Trust(Trust::Asked), report(Outcome::Failed)];
    assert_eq!(supervisor.step(exited(1, BAD), now), failed);
    assert_eq!(supervisor.step(Event::Timer, now), [], "its time means nothing any more");
    supervisor.step(Event::Restart, now);
    assert_eq!(supervisor.step(READY, now)[1], Action::Start(1));
}

#[test]
fn a_new_one_that_takes_too_long_is_killed() {
    let (mut supervisor, now) = warming(Drain::OnSigterm);
    assert_eq!(supervisor.step(Event::Timer, now + s(60)), [Action::Kill(1)]);
    assert_eq!(supervisor.step(Event::Ready { epoch: 1 }, now + s(60)), [], "too late");
    let timed_out = [Action::Trust(Trust::Asked), report(Outcome::TimedOut)];
    assert_eq!(supervisor.step(exited(1, BAD), now + s(60)), timed_out);
}

#[test]
fn a_third_one_waits_for_the_first_to_leave() {
    for drain in [Drain::OnSigterm, Drain::ByAdmin] {
        let (mut supervisor, now) = warming(drain);
        assert_eq!(supervisor.step(Event::Restart, now), []);
        supervisor.step(Event::Ready { epoch: 1 }, now);
        assert_eq!(supervisor.step(Event::Restart, now), [], "one is enough for both");
        assert_eq!(supervisor.step(exited(0, GOOD), now), [Action::Prepare]);
        assert_eq!(supervisor.step(READY, now)[1], Action::Start(2));
    }
}

#[test]
fn or_ends_it_at_its_deadline() {
    let (mut supervisor, now) = replacing(Drain::OnSigterm);
    supervisor.step(Event::Restart, now);
    let at = now + s(900);
    let told = [Action::Terminate(0), Action::WakeAt(at + LAST_MOMENT)];
    assert_eq!(supervisor.step(Event::Timer, at), told);
    assert_eq!(supervisor.step(Event::Timer, at + LAST_MOMENT), [Action::Kill(0)]);
    assert_eq!(supervisor.step(Event::Timer, at + LAST_MOMENT), []);
    assert_eq!(supervisor.step(exited(0, BAD), at + LAST_MOMENT), [Action::Prepare]);
}

#[test]
fn ours_serves_again_when_its_successor_crashes() {
    let (mut supervisor, now) = replacing(Drain::OnSigterm);
    assert_eq!(supervisor.step(exited(1, BAD), now), []);
    supervisor.step(Event::Restart, now);
    assert_eq!(supervisor.step(READY, now)[1], Action::Start(1));
}

#[test]
fn envoys_successor_is_started_again_since_its_listeners_are_closed() {
    let (mut supervisor, now) = replacing(Drain::ByAdmin);
    let soon = Action::WakeAt(now + FIRST_BACK_OFF);
    assert_eq!(supervisor.step(exited(1, BAD), now), [soon]);
    assert_eq!(supervisor.step(Event::Timer, now)[1], Action::Start(1));
    let later = Action::WakeAt(now + 2 * FIRST_BACK_OFF);
    assert_eq!(supervisor.step(exited(1, BAD), now), [report(Outcome::Failed), later]);
    assert_eq!(supervisor.step(exited(0, GOOD), now), [], "now there is none");
    assert_eq!(supervisor.step(Event::Timer, now), [Action::Start(0)]);
}

#[test]
fn the_new_one_goes_on_alone_when_the_old_one_crashes() {
    let (mut supervisor, now) = warming(Drain::OnSigterm);
    let alone = [Action::Trust(Trust::Asked), report(Outcome::OldEnded)];
    assert_eq!(supervisor.step(exited(0, BAD), now), alone);
    assert_eq!(supervisor.step(Event::Ready { epoch: 1 }, now), []);
    let back_off = [Action::WakeAt(now + FIRST_BACK_OFF)];
    assert_eq!(supervisor.step(exited(1, BAD), now), back_off);
    assert_eq!(supervisor.step(Event::Timer, now), [Action::Start(0)], "a new row begins");
}

#[test]
fn one_that_has_left_before_its_successor_says_that_it_is_ready_has_handed_over() {
    let (mut supervisor, now) = warming(Drain::OnSigterm);
    assert_eq!(supervisor.step(exited(0, GOOD), now), []);
    let handed_over = report(Outcome::HandedOver { epoch: 1 });
    let expected = [Action::Trust(Trust::Asked), handed_over];
    assert_eq!(supervisor.step(Event::Ready { epoch: 1 }, now), expected);
    assert_eq!(supervisor.step(Event::Ready { epoch: 1 }, now), [], "said once");
}

#[test]
fn a_crash_while_preparing_starts_with_what_is_prepared() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(Event::Restart, now);
    let back_off = [Action::WakeAt(now + FIRST_BACK_OFF)];
    assert_eq!(supervisor.step(exited(0, BAD), now), back_off);
    assert_eq!(supervisor.step(READY, now), [Action::Start(0)]);
    let anew = [Action::Trust(Trust::Asked), report(Outcome::StartedAnew)];
    assert_eq!(supervisor.step(Event::Ready { epoch: 0 }, now), anew);
    assert_eq!(supervisor.step(Event::Ready { epoch: 0 }, now), [], "said once");
}

#[test]
fn who_waits_for_a_proxy_that_crashes_at_its_start_is_told() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(exited(0, BAD), now);
    assert_eq!(supervisor.step(Event::Restart, now), [Action::Prepare]);
    assert_eq!(supervisor.step(Event::Refused, now), [report(Outcome::Refused)]);
    supervisor.step(Event::Restart, now);
    assert_eq!(supervisor.step(READY, now), [Action::Start(0)]);
    assert_eq!(supervisor.step(exited(0, BAD), now)[1], report(Outcome::Failed));
}

#[test]
fn one_that_cannot_hand_over_leaves_first() {
    let make_way = |mut supervisor: Supervisor, now, event| {
        let wake = Action::WakeAt(now + s(5));
        let begins = [Action::Trust(Trust::Asked), Action::MakeWay, Action::Unready, wake];
        assert_eq!(supervisor.step(event, now), begins);
        supervisor.step(Event::Timer, now + s(5));
        let anew = [Action::Serve, Action::Start(0)];
        assert_eq!(supervisor.step(exited(0, GOOD), now + s(6)), anew);
        let anew = [Action::Trust(Trust::Asked), report(Outcome::StartedAnew)];
        assert_eq!(supervisor.step(Event::Ready { epoch: 0 }, now), anew);
    };
    let (mut known_before, now) = supervisor(Drain::OnSigterm);
    known_before.step(Event::Restart, now);
    make_way(known_before, now, CANNOT);
    let (found_out, now) = warming(Drain::OnSigterm);
    make_way(found_out, now, exited(1, Exit::CannotHandOver));
}

#[test]
fn told_to_end_while_one_makes_way_it_ends() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(Event::Restart, now);
    supervisor.step(CANNOT, now);
    assert_eq!(supervisor.step(Event::Restart, now), []);
    assert_eq!(supervisor.step(Event::Signal, now), [report(Outcome::Ending)]);
    assert_eq!(supervisor.step(Event::Restart, now), [report(Outcome::Ending)]);
    supervisor.step(Event::Timer, now);
    assert_eq!(supervisor.step(exited(0, GOOD), now), [Action::Leave(exit::OK)]);
}

#[test]
fn a_restart_asked_for_while_one_makes_way_comes_after() {
    let (mut supervisor, now) = supervisor(Drain::OnSigterm);
    supervisor.step(Event::Restart, now);
    supervisor.step(CANNOT, now);
    supervisor.step(Event::Restart, now);
    let anew = [Action::Serve, Action::Start(0), Action::Prepare];
    assert_eq!(supervisor.step(exited(0, BAD), now), anew);
}

#[test]
fn both_generations_drain_and_end() {
    for (mut supervisor, now) in [warming(Drain::OnSigterm), replacing(Drain::OnSigterm)] {
        supervisor.step(Event::Signal, now);
        let mut told = supervisor.step(Event::Timer, now + s(5));
        told.sort_by_key(|action| *action == Action::Terminate(1));
        let expected = [Action::Terminate(0), Action::WakeAt(now + s(28)), Action::Terminate(1)];
        assert_eq!(told, expected);
        assert_eq!(supervisor.step(exited(1, GOOD), now), []);
        assert_eq!(supervisor.step(exited(0, GOOD), now), [Action::Leave(exit::OK)]);
    }
}

#[test]
fn the_deadline_holds_for_both() {
    for (mut supervisor, now) in [warming(Drain::ByAdmin), replacing(Drain::ByAdmin)] {
        supervisor.step(Event::Signal, now);
        supervisor.step(Event::Timer, now + s(5));
        assert_eq!(supervisor.step(Event::Timer, now + s(28)).len(), 3);
        let mut killed = supervisor.step(Event::Timer, now + s(29));
        killed.sort_by_key(|action| *action == Action::Kill(1));
        assert_eq!(killed, [Action::Kill(0), Action::Kill(1)]);
        assert_eq!(supervisor.step(exited(0, BAD), now), []);
        assert_eq!(supervisor.step(exited(1, BAD), now), [Action::Leave(exit::CUT)]);
    }
}

#[test]
fn one_that_was_leaving_anyhow_may_leave_at_any_time() {
    let (mut supervisor, now) = replacing(Drain::OnSigterm);
    supervisor.step(Event::Signal, now);
    assert_eq!(supervisor.step(exited(0, GOOD), now), []);
    supervisor.step(Event::Timer, now);
    assert_eq!(supervisor.step(exited(1, GOOD), now), [Action::Leave(exit::OK)]);

    let (mut supervisor, now) = replacing(Drain::OnSigterm);
    supervisor.step(Event::Signal, now);
    assert_eq!(supervisor.step(exited(1, GOOD), now), []);
    let failed = [Action::Leave(exit::PROXY_FAILED)];
    assert_eq!(supervisor.step(exited(0, GOOD), now), failed);
}

#[test]
fn told_to_end_while_envoys_successor_is_awaited() {
    let (mut supervisor, now) = replacing(Drain::ByAdmin);
    supervisor.step(exited(1, BAD), now);
    supervisor.step(Event::Signal, now);
    assert_eq!(supervisor.step(Event::Signal, now), [Action::Kill(0)]);
    assert_eq!(supervisor.step(exited(0, BAD), now), [Action::Leave(exit::CUT)]);
}

#[test]
fn two_that_are_found_are_in_a_handover() {
    let (Supervisor { policy, .. }, now) = supervisor(Drain::OnSigterm);
    let (mut supervisor, actions) = Supervisor::found_two(policy, 4, now);
    assert_eq!(actions, [Action::Trust(Trust::Held), Action::WakeAt(now + s(60))]);
    let done = supervisor.step(Event::Ready { epoch: 5 }, now);
    assert_eq!(done[1], report(Outcome::HandedOver { epoch: 5 }));
}
