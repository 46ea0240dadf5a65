# Adds Rollcall to osquery's extensions.load (and Orbit's, where that is installed), or
# takes it out again with -Remove; restarts osqueryd only where it runs. The MSI runs
# this; with the zip, run it as administrator from the folder that holds rollcall.ext.exe.
param([switch]$Remove)
$ErrorActionPreference = 'Stop'
$extension = Join-Path $PSScriptRoot 'rollcall.ext.exe'
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
foreach ($name in 'osqueryd', 'Fleet osquery') {
    $service = Get-Service -Name $name -ErrorAction SilentlyContinue
    if ($service -and $service.Status -eq 'Running') { Restart-Service -Name $name -Force }
}
