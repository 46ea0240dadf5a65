package config

const openFlags = 0
