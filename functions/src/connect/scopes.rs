//! What the scopes of a Zoom app allow, in words for the user.

/// What one or more scopes allow. The sentence begins with "the app can".
const MEANINGS: [(&str, &[&str]); 8] = [
    (
        "join meetings on your behalf, and join and start meetings as you",
        &["user:read:token", "user_token:read"],
    ),
    (
        "join and start meetings as you",
        &["user:read:zak", "user_zak:read"],
    ),
    (
        "record your meetings without asking for permission in each meeting",
        &[
            "meeting:read:local_recording_token",
            "meeting_token:read:local_recording",
        ],
    ),
    (
        "record your webinars without asking for permission in each webinar",
        &[
            "webinar:read:local_recording_token",
            "webinar_token:read:local_recording",
        ],
    ),
    (
        "see your name, your e-mail address and your Zoom account",
        &["user:read:user", "user:read", "user:read:email"],
    ),
    (
        "see your meetings",
        &[
            "meeting:read",
            "meeting:read:meeting",
            "meeting:read:list_meetings",
            "meeting:read:list_upcoming_meetings",
        ],
    ),
    (
        "see your webinars",
        &[
            "webinar:read",
            "webinar:read:webinar",
            "webinar:read:list_webinars",
        ],
    ),
    (
        "see your recordings",
        &[
            "recording:read",
            "cloud_recording:read:list_user_recordings",
        ],
    ),
];

/// What comma-separated scopes allow, each thing once. `names` are the scopes that have no words here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) meanings: Vec<&'static str>,
    pub(crate) names: Vec<String>,
}

impl Permissions {
    pub(crate) fn of(scopes: &str) -> Self {
        let scopes: Vec<&str> = scopes
            .split([',', ' '])
            .map(str::trim)
            .filter(|scope| !scope.is_empty())
            .collect();
        // A scope for the whole account is not put into words: "your meetings" would say too little.
        let of_word = |words: &[&str]| scopes.iter().any(|scope| words.contains(scope));
        let known = |scope: &&&str| MEANINGS.iter().any(|(_, words)| words.contains(*scope));
        Self {
            meanings: MEANINGS
                .iter()
                .filter(|(_, words)| of_word(words))
                .map(|(meaning, _)| *meaning)
                .collect(),
            names: scopes
                .iter()
                .filter(|scope| !known(scope))
                .map(ToString::to_string)
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.meanings.is_empty() && self.names.is_empty()
    }
}
