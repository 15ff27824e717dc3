//! A bot of each vendor against one URL, in generated meetings: who hosts it, who is invited, whose grant is dead,
//! whose credential is deleted or outside the filter.
//!
//! The requests are those of the vendors. Recall.ai, Attendee and MeetStream call one URL that verifies all three.
//! MeetingBaas has a URL of its own: it cannot sign a call, so a URL that verifies vendors would refuse it.

use local::zoom::Meeting;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::Connected;
use crate::minting::mint;
use crate::token_urls::Url;
use crate::vendors::answer_to;
use crate::world::{Answer, CLIENT_ID, World};

/// How many calls are generated.
const CASES: u32 = 1_000;
/// The meetings. Each is hosted by the user with its index.
const MEETINGS: usize = 6;

/// What became of a user since they were connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    /// The user has removed the app.
    Dead,
    Deleted,
    FilteredOut,
}

/// The users, in this order.
const FATES: [Fate; MEETINGS] = [
    Fate::Works,
    Fate::Works,
    Fate::Works,
    Fate::Dead,
    Fate::Deleted,
    Fate::FilteredOut,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    MeetingBaas,
    Recall,
    Attendee,
    MeetStream,
}

/// How the call names its users.
#[derive(Clone, Copy, Debug)]
enum Name {
    Credential,
    UserId,
    Email,
}

/// One call.
#[derive(Clone, Debug)]
struct Case {
    vendor: Vendor,
    name: Name,
    /// The type that the call wants. `all` for Attendee, which gets all.
    kind: &'static str,
    /// The users that the call names, in order, without repetition.
    users: Vec<usize>,
    meeting: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let vendor = prop_oneof![
        Just(Vendor::MeetingBaas),
        Just(Vendor::Recall),
        Just(Vendor::Attendee),
        Just(Vendor::MeetStream)
    ];
    let name = prop_oneof![
        Just(Name::Credential),
        Just(Name::UserId),
        Just(Name::Email)
    ];
    let kind = prop_oneof![Just("onbehalf"), Just("zak"), Just("local_recording")];
    let users = Just((0..MEETINGS).collect::<Vec<_>>()).prop_shuffle();
    let cut = 1..=MEETINGS;
    (vendor, name, kind, users, cut, 0..MEETINGS).prop_map(
        |(vendor, name, kind, mut users, cut, meeting)| {
            users.truncate(cut);
            let kind = match vendor {
                // They have no setting for a URL of this type.
                Vendor::MeetingBaas | Vendor::MeetStream if kind == "local_recording" => "onbehalf",
                Vendor::Attendee => "all",
                Vendor::MeetingBaas | Vendor::Recall | Vendor::MeetStream => kind,
            };
            Case {
                vendor,
                name,
                kind,
                users,
                meeting,
            }
        },
    )
}

fn meeting_id(host: usize) -> String {
    format!("9876543210{host}")
}

/// The users and the URLs of the test.
struct Stage {
    users: Vec<Connected>,
    /// For vendors that prove their calls.
    verified: Url,
    /// For MeetingBaas, which cannot.
    open: Url,
}

impl Stage {
    async fn new(world: &World) -> Self {
        world.store_vendors().await;
        let mut users = Vec::new();
        for (index, fate) in FATES.into_iter().enumerate() {
            let customer = if fate == Fate::FilteredOut {
                "globex"
            } else {
                "acme"
            };
            let extra = json!({ "customer": customer });
            let user = world.connect(&format!("user{index}"), extra).await;
            world.zoom.register_meeting(Meeting {
                id: meeting_id(index),
                webinar: false,
                host_id: user.user.clone(),
                forbids_recording: false,
            });
            match fate {
                Fate::Dead => world.zoom.remove_app(CLIENT_ID, &user.user),
                Fate::Deleted => {
                    world.acme.delete(&user.credential).await.expect(200);
                }
                Fate::Works | Fate::FilteredOut => {}
            }
            users.push(user);
        }
        // Zoom's refusal of a new token would say nothing about the grant.
        world.age_access_tokens().await;
        let types = ["onbehalf", "zak", "local_recording"];
        // The vault learns whose grant is dead, so that every case begins alike.
        for (user, fate) in users.iter().zip(FATES) {
            if fate == Fate::Dead {
                let body = json!({ "credential_id": user.credential, "type": "zak" });
                let answer = mint(&world.acme, body).await;
                answer.expect_code(409, "FST_ERR_ZOOM_RECONNECT_REQUIRED");
            }
        }
        let open = json!({ "extra": "customer:acme" });
        let verify = ["recall", "attendee", "meetstream"];
        let verified = json!({ "extra": "customer:acme", "unverified": null, "verify": verify });
        Self {
            users,
            verified: world.given_open_url(&types, verified).await,
            open: world.given_open_url(&types, open).await,
        }
    }

    /// The request, as the vendor makes it.
    fn request(&self, world: &World, case: &Case) -> RequestBuilder {
        let (name, values): (_, Vec<&str>) = match case.name {
            Name::Credential => ("credential_id", self.values(case, |it| &it.credential)),
            Name::UserId => ("zoom_user_id", self.values(case, |it| &it.user)),
            Name::Email => ("zoom_email", self.values(case, |it| &it.email)),
        };
        let text = values.join(",");
        let meeting = meeting_id(case.meeting);
        match case.vendor {
            Vendor::MeetingBaas => {
                let query = [("meeting_id", meeting.as_str()), ("type", case.kind)];
                world.meetingbaas(&self.open, &query, &json!({ name: values }))
            }
            Vendor::Recall => {
                let query = [
                    ("meeting_id", meeting.as_str()),
                    ("type", case.kind),
                    (name, text.as_str()),
                ];
                world.recall(&self.verified, &query)
            }
            Vendor::Attendee => {
                let link = format!("https://us02web.zoom.us/j/{meeting}?pwd=a.1");
                // Attendee sorts this before it signs, and escapes it after that.
                let metadata = json!({ name: text, "about": "Zoë/🦀 \"q\"" });
                world.attendee(&self.verified, &metadata, &link)
            }
            Vendor::MeetStream => {
                let mut query = vec![("type", case.kind), (name, text.as_str())];
                if case.kind == "onbehalf" {
                    query.push(("meeting_number", &meeting));
                }
                world.meetstream_gets(&self.verified, &query)
            }
        }
    }

    fn values<'a>(&'a self, case: &Case, of: impl Fn(&'a Connected) -> &'a String) -> Vec<&'a str> {
        let users = case.users.iter();
        users
            .map(|index| of(&self.users[*index]).as_str())
            .collect()
    }
}

/// The users who give a token of a type, in the order of the call.
fn givers(case: &Case, kind: &str) -> Vec<String> {
    let users = case.users.iter().copied();
    let gives = users.filter(|index| {
        FATES[*index] == Fate::Works && (kind != "local_recording" || *index == case.meeting)
    });
    gives.map(|index| format!("user{index}")).collect()
}

/// The first user who gives a token of a type.
fn first_giver(case: &Case, kind: &str) -> Option<String> {
    givers(case, kind).into_iter().next()
}

/// Whether the call names somebody whom the URL may choose.
fn names_somebody(case: &Case) -> bool {
    let mut users = case.users.iter();
    users.any(|index| !matches!(FATES[*index], Fate::Deleted | Fate::FilteredOut))
}

/// The events of the call: the user, the type of token, and `succeeded` or the code. In no order.
fn expected_events(case: &Case) -> Vec<(String, String, String)> {
    let mut events = Vec::new();
    if !names_somebody(case) {
        return events;
    }
    let kinds: &[&str] = match case.vendor {
        Vendor::Attendee => &["onbehalf", "zak", "local_recording"],
        Vendor::MeetingBaas | Vendor::Recall | Vendor::MeetStream => &[case.kind],
    };
    let takes_all = |kind: &str| case.vendor == Vendor::Attendee && kind == "onbehalf";
    for index in &case.users {
        let user = format!("user{index}");
        let mut add = |kind: &str, code: &str| {
            events.push((user.clone(), kind.to_owned(), code.to_owned()));
        };
        match FATES[*index] {
            Fate::Works => {
                for kind in kinds {
                    // A mint is recorded before Zoom's answer is known. A later event corrects the record.
                    add(kind, "succeeded");
                    let is_given = first_giver(case, kind).as_ref() == Some(&user);
                    if !givers(case, kind).contains(&user) {
                        add(kind, "FST_ERR_ZOOM_REFUSED");
                    } else if !is_given && !takes_all(kind) {
                        add(kind, "NOT_CHOSEN");
                    }
                }
            }
            Fate::Dead => {
                let is_needed = takes_all(kinds[0]) || first_giver(case, kinds[0]).is_none();
                let code = if is_needed {
                    "FST_ERR_ZOOM_RECONNECT_REQUIRED"
                } else {
                    "NOT_CHOSEN"
                };
                add(kinds[0], code);
            }
            // Names of users lead to no deleted credential.
            Fate::Deleted if matches!(case.name, Name::Credential) => add(kinds[0], "DELETED"),
            Fate::Deleted | Fate::FilteredOut => {}
        }
    }
    events.sort();
    events
}

/// Zoom does not know the meeting of this user, or the user must authorize again.
fn is_refusal(answer: &Answer) -> bool {
    [400, 409].contains(&answer.status)
}

fn check(world: &World, case: &Case, answer: &Answer) {
    let describe = || format!("{case:?}: {} {}", answer.status, answer.text);
    if !names_somebody(case) {
        assert_eq!(answer.status, 404, "{}", describe());
        return;
    }
    let user = |token: &Value| world.user_of(token.as_str().unwrap());
    match case.vendor {
        Vendor::MeetingBaas | Vendor::Recall | Vendor::MeetStream => {
            let Some(giver) = first_giver(case, case.kind) else {
                assert!(is_refusal(answer), "{}", describe());
                return;
            };
            assert_eq!(answer.status, 200, "{}", describe());
            assert_eq!(world.user_of(&answer.text), giver, "{}", describe());
        }
        Vendor::Attendee => {
            let all = givers(case, "onbehalf");
            if all.is_empty() {
                assert!(is_refusal(answer), "{}", describe());
                return;
            }
            assert_eq!(answer.status, 200, "{}", describe());
            let tokens = answer.json();
            assert_eq!(
                world.users_of(&tokens["onbehalf_token"]),
                all,
                "{}",
                describe()
            );
            for (kind, name) in [
                ("zak", "zak_token"),
                ("local_recording", "app_privilege_token"),
            ] {
                let token = tokens.get(name).map(user);
                let expected = first_giver(case, kind);
                assert_eq!(token, expected, "{name} {}", describe());
            }
            assert_eq!(tokens.get("token"), None);
        }
    }
}

impl Stage {
    /// The events of the call with this answer, in the form of [`expected_events`].
    async fn events(&self, world: &World, answer: &Answer) -> Vec<(String, String, String)> {
        let newest = world.team_events("?limit=50&kind=mint").await.expect(200);
        let newest = newest.as_array().unwrap().iter();
        let id = answer.header("x-request-id").unwrap();
        let of_call = newest.filter(|event| event["request_id"] == id);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut events: Vec<_> = of_call
            .map(|event| {
                let mut users = self.users.iter();
                let user = users.find(|it| event["credential_id"] == it.credential);
                let code = event["code"].as_str().unwrap_or("succeeded");
                (
                    user.unwrap().user.clone(),
                    text(&event["type"]),
                    code.to_owned(),
                )
            })
            .collect();
        events.sort();
        events
    }
}

#[tokio::test]
async fn in_a_thousand_generated_meetings_every_vendor_gets_the_right_token_of_the_right_user() {
    let world = World::new().await;
    let stage = Stage::new(&world).await;
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(16),
        ..Config::default()
    });
    let cases = cases();
    for _ in 0..CASES {
        let case = cases.new_tree(&mut runner).unwrap().current();
        let answer = answer_to(stage.request(&world, &case)).await;
        check(&world, &case, &answer);
        let events = stage.events(&world, &answer).await;
        assert_eq!(events, expected_events(&case), "{case:?}: {}", answer.text);
    }
}
