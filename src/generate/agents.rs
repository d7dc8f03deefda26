//! What clients call themselves.

/// Browsers, the common ones repeated: a client picks one and stays with it.
pub(super) const BROWSERS: &[&str] = &[
    CHROME_WINDOWS,
    CHROME_WINDOWS,
    CHROME_WINDOWS,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36",
    CHROME_ANDROID,
    CHROME_ANDROID,
    CHROME_ANDROID,
    CHROME_ANDROID,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Mobile Safari/537.36",
    SAFARI_IPHONE,
    SAFARI_IPHONE,
    SAFARI_IPHONE,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
    FIREFOX_WINDOWS,
    "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:156.0) Gecko/20100101 Firefox/156.0",
    EDGE_WINDOWS,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/30.0 Chrome/143.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 402.0.0.28.81 (iPhone15,4; iOS 18_6; pt_BR; pt; scale=3.00; 1179x2556; 771228331)",
    "Mozilla/5.0 (Linux; Android 15; SM-A546E Build/AP3A.240905.015; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/154.0.7103.60 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/538.0.0.53.70;]",
];

pub(super) const CHROME_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
pub(super) const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36";
pub(super) const SAFARI_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1";
pub(super) const FIREFOX_WINDOWS: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:157.0) Gecko/20100101 Firefox/157.0";
pub(super) const EDGE_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36 Edg/154.0.0.0";

/// The browsers of people who work in the shop's own office.
pub(super) const DESKTOPS: &[&str] = &[CHROME_WINDOWS, CHROME_WINDOWS, EDGE_WINDOWS, FIREFOX_WINDOWS];

/// The shop's own application on telephones.
pub(super) const APPLICATIONS: &[&str] = &[
    "LumenShop/6.12.0 (Android 15; SM-S921B) okhttp/4.12.0",
    "LumenShop/6.12.0 (Android 14; moto g84 5G) okhttp/4.12.0",
    "LumenShop/6.11.2 (Android 13; Redmi Note 12) okhttp/4.12.0",
    "LumenShop/6.12.0 (com.lumen.shop; build:6120; iOS 18.6.2) Alamofire/5.9.1",
    "LumenShop/6.12.1 (com.lumen.shop; build:6121; iOS 26.1.0) Alamofire/5.9.1",
];

/// Programs of partners that use the interface with a key of their own.
pub(super) const PARTNERS: &[&str] = &[
    "python-requests/2.32.5",
    "axios/1.12.2",
    "GuzzleHttp/7",
    "okhttp/4.12.0",
    "node",
    "Make/production",
    "n8n",
    "Java-http-client/21.0.8",
];

/// Programs that attackers write, or take as they come.
pub(super) const SCRIPTS: &[&str] = &[
    "python-requests/2.31.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "curl/7.88.1",
    "curl/8.5.0",
    "Python/3.11 aiohttp/3.9.5",
    "Mozilla/5.0",
    "-",
];

/// Browsers that attackers pretend to be: real ones, old ones, and mostly not theirs.
pub(super) const DISGUISES: &[&str] = &[
    CHROME_WINDOWS,
    FIREFOX_WINDOWS,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
];

/// Scanners that say who they are.
pub(super) const SCANNERS: &[&str] = &[
    "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)",
    "sqlmap/1.8.4#stable (https://sqlmap.org)",
    "Mozilla/5.0 (compatible; Nuclei - Open-source project (github.com/projectdiscovery/nuclei))",
    "WPScan v3.8.27 (https://wpscan.com/wordpress-security-scanner)",
    "gobuster/3.6",
    "Fuzz Faster U Fool v2.1.0-dev",
    "feroxbuster/2.10.4",
    "DirBuster-1.0-RC1 (http://www.owasp.org/index.php/Category:OWASP_DirBuster_Project)",
    "Mozilla/5.0 zgrab/0.x",
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
    "Wfuzz/3.1.0",
    "Mozilla/5.0 [en] (X11, U; OpenVAS-VT 22.7.9)",
    "Mozilla/4.0 (Hydra)",
];

pub(super) const SQLMAP: &str = "sqlmap/1.8.4#stable (https://sqlmap.org)";
pub(super) const WEBHOOK: &str = "facebookexternalua";
pub(super) const GOOGLEBOT: &str = "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.7103.60 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
pub(super) const GOOGLEBOT_IMAGE: &str = "Googlebot-Image/1.0";
pub(super) const BINGBOT: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36";

/// Services that ask whether the shop is up.
pub(super) const MONITORS: &[&str] = &[
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Better Stack Better Uptime Bot Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/98.0.4758.102 Safari/537.36",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
];

/// Programs that people read feeds with.
pub(super) const FEED_READERS: &[&str] = &[
    "Feedly/1.0 (+https://feedly.com/poller.html; 14 subscribers; )",
    "FreshRSS/1.24.3 (Linux; https://freshrss.org)",
    "Mozilla/5.0 (compatible; Miniflux/2.2.4; +https://miniflux.app)",
];
