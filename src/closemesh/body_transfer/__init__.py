"""Command"""
