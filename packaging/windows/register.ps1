# Adds Rollcall to osquery's extensions.load (and Orbit's, where that is installed), or
# takes it out again with -Remove; restarts osqueryd only where it runs. The MSI runs
# this; with the zip, run it as administrator from the folder that holds rollcall.ext.exe.
param([switch]$Remove)
$ErrorActionPreference = 'Stop'
$extension = Join-Path $PSScriptRoot 'rollcall.ext.exe'
# osquery's folder is made where it is not: Orbit's osqueryd reads the file in it, too, and
# Orbit empties its own.
if (-not $Remove) { New-Item -ItemType Directory -Force -Path "$env:ProgramFiles\osquery" | Out-Null }
$folders = @("$env:ProgramFiles\osquery", "$env:ProgramFiles\Orbit") | Where-Object { Test-Path -LiteralPath $_ -PathType Container }
foreach ($folder in $folders) {
    $file = Join-Path $folder 'extensions.load'
    $lines = @()
    if (Test-Path -LiteralPath $file -PathType Leaf) { $lines = @(Get-Content -LiteralPath $file) }
    $rest = @($lines | Where-Object { $_ -ne '' -and $_ -ne $extension })
    if (-not $Remove) { $rest += $extension }
    if ($rest.Count -eq 0) { Remove-Item -LiteralPath $file -ErrorAction SilentlyContinue }
    else { [IO.File]::WriteAllLines($file, [string[]]$rest) } # without a byte order mark
}
function Test-Running($name) {
    $service = Get-Service -Name $name -ErrorAction SilentlyContinue
    return $service -and $service.Status -eq 'Running'
}
if (Test-Running 'osqueryd') { Restart-Service -Name 'osqueryd' -Force }
# Fleet's agent may be what runs this installation: a restart now would end it halfway.
if (Test-Running 'Fleet osquery') {
    Start-Process powershell.exe -WindowStyle Hidden -ArgumentList "-NoProfile -NonInteractive -Command Start-Sleep -Seconds 10; Restart-Service -Name 'Fleet osquery' -Force"
}
