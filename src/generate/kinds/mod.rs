//! Everything that can be staged, by name.
//!
//! A kind is one line here and one [`Script`] in the room of its theme; what it is called, how it is
//! described and how it is staged cannot drift apart, since the list below is all there is.

mod account;
mod data;
mod exploit;
mod flood;
mod gateway;
mod innocent;
mod login;
mod messaging;
mod payload;
mod peaceful;
mod probe;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::generate::episode::Script;
use crate::generate::label::Speed;
use crate::generate::webhooks::Act;

macro_rules! kinds {
    (
        logs { $($(#[doc = $description:literal])+ $kind:ident $name:literal => $script:path,)+ }
        messaging { $($(#[doc = $told:literal])+ $heard:ident $called:literal => $act:path,)+ }
    ) => {
        /// Something that can be staged: an attack, or an innocent that looks like one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[doc = $description])+ #[serde(rename = $name)] $kind,)+
            $($(#[doc = $told])+ #[serde(rename = $called)] $heard,)+
        }

        impl Kind {
            /// All kinds that write lines of logs, attacks first.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)+];

            /// All kinds that are told by webhooks of the WhatsApp Business Platform, attacks first.
            pub const MESSAGING: &[Kind] = &[$(Kind::$heard,)+];

            /// Its name in labels and on command lines. It never changes.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                    $(Kind::$heard => $called,)+
                }
            }

            /// What happens, in one sentence.
            pub fn description(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!($($description,)+).trim_ascii(),)+
                    $(Kind::$heard => concat!($($told,)+).trim_ascii(),)+
                }
            }

            pub(super) fn script(self) -> &'static Script {
                match self {
                    $(Kind::$kind => &$script,)+
                    $(Kind::$heard)|+ => &NOT_IN_LOGS,
                }
            }

            pub(super) fn act(self) -> Option<&'static Act> {
                match self {
                    $(Kind::$heard => Some(&$act),)+
                    $(Kind::$kind)|+ => None,
                }
            }
        }
    };
}

/// Of what is told by webhooks, no log has a line.
static NOT_IN_LOGS: Script = Script { plans: &[], agents: &[], write: |_, _| {} };

kinds! {
    logs {
        /// One account's password is guessed at from a few addresses.
        BruteForceByAccount "brute_force_by_account" => login::BRUTE_FORCE_BY_ACCOUNT,
        /// One address guesses at passwords through the shop's login form.
        BruteForceByAddress "brute_force_by_address" => login::BRUTE_FORCE_BY_ADDRESS,
        /// A WordPress login is guessed at; it answers 200 to every failure.
        BruteForceWordpress "brute_force_wordpress" => login::BRUTE_FORCE_WORDPRESS,
        /// Passwords are guessed by calls to xmlrpc.php, which answers 200 whatever happens.
        BruteForceXmlRpc "brute_force_xml_rpc" => login::BRUTE_FORCE_XML_RPC,
        /// Client secrets are guessed at the token endpoint.
        BruteForceTokenEndpoint "brute_force_token_endpoint" => login::BRUTE_FORCE_TOKEN_ENDPOINT,
        /// An area behind basic authentication is guessed at, so that the log shows the account.
        BruteForceBasic "brute_force_basic" => login::BRUTE_FORCE_BASIC,
        /// Names and passwords of an area behind basic authentication are gone through until one fits.
        BasicAuthGuessing "basic_auth_guessing" => login::BASIC_AUTH_GUESSING,
        /// The password of a protected page is guessed at, on a server that does not log names.
        ProtectedPageGuessing "protected_page_guessing" => login::PROTECTED_PAGE_GUESSING,
        /// Tokens of an interface are guessed at; the log shows nothing but refusals.
        TokenGuessing "token_guessing" => login::TOKEN_GUESSING,
        /// One account is guessed at from many addresses, each of which tries little.
        BruteForceDistributed "brute_force_distributed" => login::BRUTE_FORCE_DISTRIBUTED,
        /// A login form that answers 200 to every attempt is guessed at.
        FormLoginGuessing "form_login_guessing" => login::FORM_LOGIN_GUESSING,
        /// One address tries a few passwords on many accounts.
        PasswordSpray "password_spray" => login::PASSWORD_SPRAY,
        /// Several addresses try a few passwords on many accounts.
        PasswordSprayDistributed "password_spray_distributed" => login::PASSWORD_SPRAY_DISTRIBUTED,
        /// One address tries stolen pairs of names and passwords, once each, and some fit.
        CredentialStuffing "credential_stuffing" => login::CREDENTIAL_STUFFING,
        /// Hundreds of addresses try stolen pairs through the login form, a few each.
        CredentialStuffingDistributed "credential_stuffing_distributed" => login::CREDENTIAL_STUFFING_DISTRIBUTED,
        /// One address asks for names that do not exist, to learn which do.
        UserEnumeration "user_enumeration" => login::USER_ENUMERATION,
        /// The authors of a WordPress are listed by number.
        UserEnumerationWordpress "user_enumeration_wordpress" => login::USER_ENUMERATION_WORDPRESS,
        /// A guessed password is found: many failures of one account, then a success.
        SuccessAfterFailures "success_after_failures" => login::SUCCESS_AFTER_FAILURES,
        /// Somebody who has the password sends push prompts until the owner gives in.
        MfaFatigue "mfa_fatigue" => login::MFA_FATIGUE,
        /// One-time passwords of an account are guessed at.
        OtpGuessing "otp_guessing" => login::OTP_GUESSING,
        /// One session's token is used from several networks with different browsers.
        TokenReuse "token_reuse" => login::TOKEN_REUSE,

        /// One address looks for paths that might exist, and finds none.
        NotFoundScan "not_found_scan" => probe::NOT_FOUND_SCAN,
        /// Many addresses share a list of paths that might exist.
        NotFoundScanDistributed "not_found_scan_distributed" => probe::NOT_FOUND_SCAN_DISTRIBUTED,
        /// One address asks for places it is denied.
        ForbiddenProbing "forbidden_probing" => probe::FORBIDDEN_PROBING,
        /// Files that hold secrets are asked for: .env, .git, backups.
        SensitiveFileProbing "sensitive_file_probing" => probe::SENSITIVE_FILE_PROBING,
        /// Administrative interfaces the shop does not have are asked for.
        AdminProbing "admin_probing" => probe::ADMIN_PROBING,
        /// A scanner that says so in its user agent.
        ScannerAgent "scanner_agent" => probe::SCANNER_AGENT,
        /// All pages are taken, one after the other, by somebody who claims to be a browser.
        Crawling "crawling" => probe::CRAWLING,
        /// The server is tried as an open proxy.
        OpenProxyProbing "open_proxy_probing" => probe::OPEN_PROXY_PROBING,
        /// What arrives is not HTTP: TLS, RDP, SSH and SMB greetings.
        MalformedRequests "malformed_requests" => probe::MALFORMED_REQUESTS,
        /// Addresses of eight thousand characters and more are sent, which the server turns away.
        OverlongRequests "overlong_requests" => probe::OVERLONG_REQUESTS,

        /// Paths climb out of the directory that is served.
        PathTraversal "path_traversal" => payload::PATH_TRAVERSAL,
        /// A tool injects SQL into a parameter, hundreds of variants.
        SqlInjectionTool "sql_injection_tool" => payload::SQL_INJECTION_TOOL,
        /// Somebody with a browser injects SQL by hand.
        SqlInjectionManual "sql_injection_manual" => payload::SQL_INJECTION_MANUAL,
        /// Scripts are put into parameters.
        CrossSiteScripting "cross_site_scripting" => payload::CROSS_SITE_SCRIPTING,
        /// Shell commands are put into parameters.
        CommandInjection "command_injection" => payload::COMMAND_INJECTION,
        /// Log4Shell: JNDI lookups in targets, referrers and user agents.
        JndiLookup "jndi_lookup" => payload::JNDI_LOOKUP,
        /// Payloads that make frameworks run code: Shellshock, OGNL, Spring, ThinkPHP, templates, wrappers.
        ExploitPayload "exploit_payload" => exploit::EXPLOIT_PAYLOAD,
        /// Paths of known vulnerabilities in products the shop may or may not have.
        CveProbing "cve_probing" => exploit::CVE_PROBING,
        /// A web shell is looked for.
        WebShellProbing "web_shell_probing" => exploit::WEB_SHELL_PROBING,
        /// A web shell that was uploaded is used.
        WebShellUse "web_shell_use" => exploit::WEB_SHELL_USE,

        /// One address asks for far more than a person can.
        RequestFlood "request_flood" => flood::REQUEST_FLOOD,
        /// One address asks for the same page under ever new queries, so that no cache helps.
        CacheDodgingFlood "cache_dodging_flood" => flood::CACHE_DODGING_FLOOD,
        /// Many addresses ask for one expensive page, each at a few requests a second.
        DistributedFlood "distributed_flood" => flood::DISTRIBUTED_FLOOD,

        /// One address counts through the numbers of orders that are not its own.
        ObjectEnumeration "object_enumeration" => data::OBJECT_ENUMERATION,
        /// Many addresses share the counting.
        ObjectEnumerationDistributed "object_enumeration_distributed" => data::OBJECT_ENUMERATION_DISTRIBUTED,
        /// One signed-in account asks for objects of others and is often denied.
        ObjectEnumerationByAccount "object_enumeration_by_account" => data::OBJECT_ENUMERATION_BY_ACCOUNT,
        /// One account reads hundreds of customers.
        MassExportByCount "mass_export_by_count" => data::MASS_EXPORT_BY_COUNT,
        /// One address takes few but huge exports.
        MassExportByBytes "mass_export_by_bytes" => data::MASS_EXPORT_BY_BYTES,
        /// Paths that are declared sensitive are read by somebody who never came before.
        SensitivePathAccess "sensitive_path_access" => data::SENSITIVE_PATH_ACCESS,
        /// One account tries what it has no right to, function after function.
        AuthorizationProbing "authorization_probing" => data::AUTHORIZATION_PROBING,
        /// One account reads secrets and configuration, many at once.
        SecretReads "secret_reads" => data::SECRET_READS,

        /// Webhooks with bad signatures are sent to the endpoint.
        ForgedWebhook "forged_webhook" => gateway::FORGED_WEBHOOK,
        /// The verification token of the webhook endpoint is guessed at.
        WebhookTokenGuessing "webhook_token_guessing" => gateway::WEBHOOK_TOKEN_GUESSING,
        /// Unofficial WhatsApp gateways are looked for: WAHA, Evolution API, WPPConnect, GoWA, open-wa.
        GatewayProbing "gateway_probing" => gateway::GATEWAY_PROBING,
        /// An unofficial WhatsApp gateway answers: messages leave by a way nobody watches.
        GatewayUse "gateway_use" => gateway::GATEWAY_USE,
        /// Telephone numbers are checked for WhatsApp accounts, one after the other.
        NumberEnumeration "number_enumeration" => gateway::NUMBER_ENUMERATION,
        /// Whole conversations are read out through a gateway.
        ConversationExport "conversation_export" => gateway::CONVERSATION_EXPORT,

        /// Somebody mistypes a password one to four times and then gets in, or gives up.
        InnocentMistypedPassword "innocent_mistyped_password" => innocent::MISTYPED_PASSWORD,
        /// The same, through the shop's login form.
        InnocentMistypedLoginForm "innocent_mistyped_login_form" => innocent::MISTYPED_LOGIN_FORM,
        /// An access token expires now and then and is renewed.
        InnocentExpiredToken "innocent_expired_token" => innocent::EXPIRED_TOKEN,
        /// A program asks for hours with a token that has expired for good.
        InnocentRejectedToken "innocent_rejected_token" => innocent::REJECTED_TOKEN,
        /// A browser that signs in by itself: two refusals before each answer.
        InnocentIntegratedLogin "innocent_integrated_login" => innocent::INTEGRATED_LOGIN,
        /// An office of fifty people behind one address.
        InnocentOffice "innocent_office" => innocent::OFFICE,
        /// Two hundred customers behind one address of their mobile network.
        InnocentCarrierNat "innocent_carrier_nat" => innocent::CARRIER_NAT,
        /// A household whose devices share an IPv6 network.
        InnocentHousehold "innocent_household" => innocent::HOUSEHOLD,
        /// Googlebot walks through hundreds of pages, some of them gone.
        InnocentGooglebot "innocent_googlebot" => innocent::GOOGLEBOT,
        /// Bingbot does.
        InnocentBingbot "innocent_bingbot" => innocent::BINGBOT,
        /// A search engine collects pictures.
        InnocentImageBot "innocent_image_bot" => innocent::IMAGE_BOT,
        /// A monitor asks twice a minute whether the shop is up.
        InnocentUptimeMonitor "innocent_uptime_monitor" => innocent::UPTIME_MONITOR,
        /// A feed reader asks for news.
        InnocentFeedReader "innocent_feed_reader" => innocent::FEED_READER,
        /// Every visitor follows the same dead link on the front page.
        InnocentBrokenLink "innocent_broken_link" => innocent::BROKEN_LINK,
        /// Several pictures are missing on every page.
        InnocentMissingImages "innocent_missing_images" => innocent::MISSING_IMAGES,
        /// A browser asks for icons and well-known files that are not there.
        InnocentBrowserIcons "innocent_browser_icons" => innocent::BROWSER_ICONS,
        /// A single-page application calls the interface a hundred times a minute.
        InnocentSinglePageApplication "innocent_single_page_application" => innocent::SINGLE_PAGE_APPLICATION,
        /// Pages with more than a hundred files each.
        InnocentHeavyPage "innocent_heavy_page" => innocent::HEAVY_PAGE,
        /// A mobile application asks for messages every three seconds.
        InnocentPollingApplication "innocent_polling_application" => innocent::POLLING_APPLICATION,
        /// Searches for words that SQL and HTML also have.
        InnocentSearchWords "innocent_search_words" => innocent::SEARCH_WORDS,
        /// The owner works under /admin/.
        InnocentAdministrator "innocent_administrator" => innocent::ADMINISTRATOR,
        /// A video is watched, piece by piece.
        InnocentVideoStreaming "innocent_video_streaming" => innocent::VIDEO_STREAMING,
        /// A large file is downloaded in ranges.
        InnocentFileDownload "innocent_file_download" => innocent::FILE_DOWNLOAD,
        /// A campaign's statuses arrive all at once.
        InnocentWebhookBurst "innocent_webhook_burst" => innocent::WEBHOOK_BURST,
    }
    messaging {
        /// The PIN of a number is reset, a partner let in, and strangers get a prize in the name of the shop.
        NumberTakeover "number_takeover" => messaging::NUMBER_TAKEOVER,
        /// Codes are asked for to numbers that lie next to one another.
        CodePumping "code_pumping" => messaging::CODE_PUMPING,
        /// Messages are held back as spam, quality falls, and the account is restricted.
        SpamBlock "spam_block" => messaging::SPAM_BLOCK,
        /// The money of customers is sent to another merchant.
        PaymentRedirection "payment_redirection" => account::PAYMENT_REDIRECTION,
        /// Templates are changed to link to a false shop.
        TemplateTampering "template_tampering" => account::TEMPLATE_TAMPERING,
        /// The chats and contacts of a phone are handed over.
        HistoryTheft "history_theft" => account::HISTORY_THEFT,
        /// One person writes more than a person can.
        InboundFlood "inbound_flood" => messaging::INBOUND_FLOOD,
        /// A campaign goes to people who never asked for it, and they stop it.
        OptOutSurge "opt_out_surge" => messaging::OPT_OUT_SURGE,
        /// Many people are called, and the calls are over at once.
        CallBurst "call_burst" => messaging::CALL_BURST,
        /// The same link goes to many people from a linked device, and is taken back.
        LinkBroadcast "link_broadcast" => messaging::LINK_BROADCAST,

        /// A campaign to some thousands who asked for it; a few stop it.
        InnocentCampaign "innocent_campaign" => peaceful::CAMPAIGN,
        /// A customer sends all pictures of a party at once.
        InnocentAlbum "innocent_album" => peaceful::ALBUM,
        /// A team answers customers at the app, and greets each with the same words.
        InnocentBusyTeam "innocent_busy_team" => peaceful::BUSY_TEAM,
        /// Templates are written, approved, refused for their form, and one is mended.
        InnocentTemplateWork "innocent_template_work" => peaceful::TEMPLATE_WORK,
    }
}

impl Kind {
    /// Whether nobody should be woken for it.
    pub fn is_innocent(self) -> bool {
        self.name().starts_with("innocent_")
    }

    /// The kinds that write lines of logs and are attacks.
    pub fn attacks() -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(|kind| !kind.is_innocent())
    }

    /// The kinds that write lines of logs and only look like attacks.
    pub fn innocents() -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(|kind| kind.is_innocent())
    }

    /// The speeds it can be staged at, faster first; of what is told by webhooks, none.
    pub fn speeds(self) -> Vec<Speed> {
        let mut speeds: Vec<Speed> = self.script().plans.iter().map(|plan| plan.speed).collect();
        speeds.sort_unstable();
        speeds.dedup();
        speeds
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No kind has this name.
#[derive(Debug, thiserror::Error)]
#[error("no kind of traffic is called {0:?}")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        let found = Kind::ALL.iter().chain(Kind::MESSAGING).find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_come_back() {
        let all = || Kind::ALL.iter().chain(Kind::MESSAGING);
        let names: BTreeSet<&str> = all().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), all().count(), "two kinds must not share a name");
        for kind in all() {
            let name = kind.name();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name} is not snake case"
            );
            assert_eq!(name.parse::<Kind>().ok(), Some(*kind));
            assert!(
                kind.description().ends_with('.') && kind.description().len() > 10,
                "{name} needs a sentence"
            );
        }
        assert!("brute_force".parse::<Kind>().is_err());
    }

    #[test]
    fn attacks_and_innocents_are_all_there_is() {
        assert_eq!(Kind::attacks().count() + Kind::innocents().count(), Kind::ALL.len());
    }
}
